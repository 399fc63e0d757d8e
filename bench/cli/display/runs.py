"""How far the runs of a grid are."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.cli.display.board import Board
from bench.cli.display.options import OutputRequest
from bench.cli.display.words import FAILURES, describe_result, describe_spec
from bench.grid.forecast import Forecast
from bench.grid.runner import Event
from bench.run.watch.log_file import LOG_FILE
from bench.run.watch.progress import describe_phase, describe_stand, format_time
from bench.specs.run import run_folder
from reports.formats.terminal import escape
from reports.records.run import RunResult

ALL = "all runs"


class GridDisplay(Board):
    """Shows the events of a grid, and when its runs and all of them will have ended."""

    def __init__(
        self,
        console: Console,
        output: OutputRequest,
        forecast: Forecast,
        out: Path,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, output, now)
        self.forecast = forecast
        self.out = out
        self.n_runs = len(forecast.kinds)
        self.n_ended = 0
        self.move(ALL, ALL, 0.0, f"0/{self.n_runs}", None)

    def show(self, event: Event) -> None:
        """Bring everything up to date with an event."""
        with self.lock:
            self._show(event)

    def _show(self, event: Event) -> None:
        run_id = event.spec.run_id
        name = describe_spec(event.spec)
        folder = run_folder(self.out, event.spec)
        if event.phase == "wait":
            self._note(f"waiting  {name}: another command works on it")
        elif event.phase == "start":
            self.forecast.start(run_id, self.now())
            self.add(run_id, name, lambda: self._describe(run_id))
            if self.has_lines:
                self.print(f"started  {name}, log: {escape(folder / LOG_FILE)}")
        elif event.result is not None:
            self._end(run_id, event.result, folder)
        elif event.stand is not None:
            now = self.now()
            self.forecast.advance(run_id, event.stand, now)
            left_s = self.forecast.left_of(run_id, now)
            share = self.forecast.share(run_id, now)
            self.move(run_id, name, share, describe_phase(event.stand), left_s)
        self._move_all()

    def _describe(self, run_id: str) -> str:
        active = self.forecast.active.get(run_id)
        if active is None or active.stand is None:
            return "starting"
        return describe_stand(active.stand, self.forecast.left_of(run_id, self.now()))

    def _end(self, run_id: str, result: RunResult, folder: Path) -> None:
        self.remove(run_id)
        self.n_ended += 1
        times = result.cost.phases if result.cost is not None else ()
        self.forecast.end(run_id, times, self.now())
        line = describe_result(result, folder)
        if self.has_lines:
            left_s = self.forecast.left(self.now())
            left = "unknown" if left_s is None else format_time(left_s)
            line += f" ({self.n_ended}/{self.n_runs} runs, ETA of all {left})"
        if result.status in FAILURES:
            self.print(line)
        else:
            self._note(line)

    def _note(self, line: str) -> None:
        if not self.output.quiet:
            self.print(line)

    def _move_all(self) -> None:
        if self.bars.disable:
            return
        now = self.now()
        shares = [self.forecast.share(run_id, now) for run_id in self.forecast.active]
        done = (self.n_ended + sum(shares)) / max(1, self.n_runs)
        state = f"{self.n_ended}/{self.n_runs}"
        self.move(ALL, ALL, done, state, self.forecast.left(now))
