"""Where and how much a command tells."""

from dataclasses import dataclass, field

import psutil
from rich.console import Console

from bench.cli.display.options import OutputRequest
from reports.formats.terminal import SafeConsole


@dataclass(frozen=True)
class Session:
    """A command at work.

    Attributes:
        command: as it was typed.
        output: how much to tell.
        started: when, in seconds since 1970; of a command, when its process was.
    """

    command: str
    output: OutputRequest = field(default_factory=OutputRequest)
    console: Console = field(default_factory=SafeConsole)
    started: float = field(default_factory=lambda: psutil.Process().create_time())
