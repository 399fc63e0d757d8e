"""What goes on, as bars on a terminal and as lines elsewhere."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import isinf
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.cli.display.options import OutputRequest
from bench.run.watch.progress import format_time

LOOK_S = 1.0  # how often to look whether a line is due
UNKNOWN = "-:--:--"


@dataclass
class Entry:
    """Something that goes on.

    Attributes:
        name: as Rich markup.
        describe: returns in words how far it is.
        told: when its last line was printed.
    """

    name: str
    describe: Callable[[], str]
    told: float


class Board:
    """Shows entries by their keys: a bar each on a terminal, else a line each at most so often.

    A line is printed for each entry, also while nothing is new. Methods may be called by several
    threads.
    """

    def __init__(
        self, console: Console, output: OutputRequest, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console
        self.output = output
        self.now = now
        self.interval_s = output.interval_s(is_terminal=console.is_terminal)
        self.has_lines = not isinf(self.interval_s)
        self.entries: dict[str, Entry] = {}
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.shown = ExitStack()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[left]}"),
        )
        off = output.quiet or not console.is_terminal
        self.bars = Progress(*columns, console=console, disable=off, transient=True)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.shown.enter_context(self.bars)
        if self.has_lines:
            thread = threading.Thread(target=self._keep_telling, daemon=True)
            thread.start()
            self.shown.callback(thread.join)
            self.shown.callback(self.ended.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shown.close()

    def add(self, key: str, name: str, describe: Callable[[], str]) -> None:
        """Begin an entry; its first line is due after the interval."""
        with self.lock:
            self.entries[key] = Entry(name, describe, self.now())
        self.move(key, name, 0.0, "starting", None)

    def move(self, key: str, name: str, share: float, state: str, left_s: float | None) -> None:
        """Set the bar of a key, which need not be an entry."""
        left = UNKNOWN if left_s is None else format_time(left_s)
        with self.lock:
            if key not in self.tasks:
                self.tasks[key] = self.bars.add_task(name, total=1.0, state=state, left=left)
            self.bars.update(self.tasks[key], completed=share, state=state, left=left)

    def remove(self, key: str) -> None:
        with self.lock:
            self.entries.pop(key, None)
            if key in self.tasks:
                self.bars.remove_task(self.tasks.pop(key))

    def print(self, line: str) -> None:
        """Print a line of markup as one line, however long."""
        self.console.print(line, soft_wrap=True, highlight=False)

    def tell(self) -> None:
        """Print the lines that are due."""
        with self.lock:
            now = self.now()
            for entry in self.entries.values():
                if now - entry.told >= self.interval_s:
                    entry.told = now
                    self.print(f"running  {entry.name}: {entry.describe()}")

    def _keep_telling(self) -> None:
        while not self.ended.wait(min(LOOK_S, self.interval_s)):
            self.tell()
