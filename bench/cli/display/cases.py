"""How far the reading, writing or preparing of cases is, and other counted work."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from bench.cli.display.board import Board
from bench.cli.display.options import OutputRequest
from bench.run.watch.progress import format_time
from reports.formats.terminal import escape

OnCase = Callable[[str, int, int], None]


class CaseDisplay(Board):
    """Shows how far something is that is counted: a bar, or a line at most once a minute."""

    def __init__(
        self, console: Console, output: OutputRequest, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console, output, now)
        self.counts: dict[str, tuple[int, int]] = {}
        self.began: dict[str, float] = {}
        self.facts = ""

    def on_case(self, what: str, done: int, total: int, facts: str = "") -> None:
        """Note how far it is; ``facts`` are added in words."""
        with self.lock:
            if what not in self.counts:
                self.began[what] = self.now()
                self.add(what, escape(what), lambda: self._describe(what))
            self.counts[what] = (done, total)
            self.facts = facts
            share = done / total if total else 1.0
            self.move(what, escape(what), share, f"{done}/{total}", self._left_s(what))
            if done >= total:
                self.entries.pop(what, None)

    def _left_s(self, what: str) -> float | None:
        done, total = self.counts[what]
        if not done:
            return None
        return (self.now() - self.began[what]) / done * (total - done)

    def _describe(self, what: str) -> str:
        done, total = self.counts[what]
        left_s = self._left_s(what)
        left = "unknown" if left_s is None else format_time(left_s)
        return f"{done}/{total}{self.facts}, ETA {left}"


@contextmanager
def case_progress(console: Console, output: OutputRequest | None = None) -> Iterator[OnCase]:
    """Show how far each ``what`` is that is reported to ``on_case(what, done, total)``."""
    with CaseDisplay(console, output or OutputRequest()) as display:
        yield display.on_case
