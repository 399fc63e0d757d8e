"""A list that can be read in 80 columns: a name, and lines about it."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding

from reports.formats.terminal import escape

Entry = tuple[str, Sequence[str]]  # a name, and lines


def print_entries(console: Console, entries: Iterable[Entry]) -> None:
    """Print each name in bold and, indented below it, its lines."""
    for name, lines in entries:
        console.print(f"[bold]{escape(name)}[/]", highlight=False)
        for line in lines:
            console.print(Padding(escape(line), (0, 0, 0, 4), expand=False), highlight=False)
