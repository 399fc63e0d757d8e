"""What the commands share on the terminal: exit codes, tables, bars with the time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from reports.analysis.aggregates import mean_defined, share_defined
from reports.formats.terminal import SafeConsole, build_terminal_table, escape, fit_columns
from reports.records.run import RunResult, Status
from reports.records.study import PRUNED, RUNNING
from reports.records.text import make_printable, mask_passwords, shorten_text
from reports.tables.table import Table as ReportTable

if TYPE_CHECKING:  # `--help` needs this file, and neither of these
    from bench.grid.runner import Event
    from bench.specs.run import RunSpec
    from bench.tuning.plan import StudyPlan, TrialEvent

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
NO_RESULT = "the tracking store holds no result yet (make some with `python -m bench run`)"
SYNTHETIC = {True: " (SYNTHETIC phantoms)", False: ""}
STYLES = {Status.DONE: "green", Status.SKIPPED: "yellow", PRUNED: "dim"}  # else red
FIT_FRAC = 0.85  # how much of a run is training; the rest is scoring


def prepare_output() -> None:
    """Make log, output and errors fit for any text in every locale."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mask_record)
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        if stream.isatty() or stream.encoding.lower() in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")
        else:  # a file or a pipe: text files are UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = make_printable(mask_passwords(record.getMessage())), ()
    return True


def report_bad_input(sentence: str) -> int:
    """Print why a command cannot be carried out, and return the exit code for it."""
    _print_error(sentence)
    return EXIT_BAD_INPUT


def report_failure(sentence: str) -> int:
    """Print why a command has failed though its input was good, and return the exit code for it."""
    _print_error(sentence)
    return EXIT_FAILED


def report_interrupt(console: Console, what: str) -> int:
    """Print what an interrupt has left, and return the exit code for it."""
    console.print(f"interrupted{what}; the same command does the rest")
    return EXIT_INTERRUPTED


def _print_error(sentence: str) -> None:
    console = SafeConsole(stderr=True)
    console.print(f"[red]error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def add_columns(table: Table, words: Sequence[str] = (), numbers: Sequence[str] = ()) -> Table:
    """Add columns of words, which fold, and then columns of numbers, which keep to the right."""
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_tables(tables: Sequence[ReportTable], console: Console) -> None:
    """Print the tables of a report one below the other."""
    for table in tables:
        console.print()
        console.print(build_terminal_table(fit_columns(table, console)))


@contextmanager
def case_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each ``what`` that is reported to ``on_case(what, done, total)``."""
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def on_case(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield on_case


class Bars(Progress):
    """Bars with the time left; nothing is shown where there is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = ("{task.description}", BarColumn(), "{task.fields[state]}")
        times = (TimeElapsedColumn(), "ETA", TimeRemainingColumn())
        off = not console.is_terminal
        super().__init__(*columns, *times, console=console, disable=off, speed_estimate_period=300)


class GridDisplay(Bars):
    """Shows the events of `run_grid`: a bar for all runs, and one for each run under way."""

    def __init__(self, console: Console, n_runs: int) -> None:
        super().__init__(console)
        self.n_runs = n_runs
        self.n_ended = 0
        self.started = time.monotonic()
        self.grid = self.add_task("all runs", total=n_runs, state=f"0/{n_runs}")
        self.bars: dict[str, TaskID] = {}
        self.fractions: dict[str, float] = {}  # of each run that has begun, ended ones included

    def show(self, event: Event) -> None:
        """Bring the bars up to date; a run that has ended becomes a line of its own."""
        run_id = event.spec.run_id
        if event.phase == "start":
            name = describe_spec(event.spec)
            self.bars[run_id] = self.add_task(name, total=1.0, state="starting")
        elif event.phase == "wait":
            self.console.print(f"waiting  {describe_spec(event.spec)}: another command works on it")
        elif event.result is not None:
            self._end(run_id, event.result)
        else:
            self._advance(run_id, event)
        done = sum(self.fractions.values())
        self.update(self.grid, completed=done, state=f"{self.n_ended}/{self.n_runs}")

    def _advance(self, run_id: str, event: Event) -> None:
        share = event.done / event.total
        if event.phase == "fit":
            state = f"epoch {event.done}/{event.total}"
            fraction = FIT_FRAC * share
        else:
            state = f"scoring case {event.done}/{event.total}"
            fraction = FIT_FRAC + (1 - FIT_FRAC) * share
        self.fractions[run_id] = fraction
        self.update(self.bars[run_id], completed=fraction, state=state)

    def _end(self, run_id: str, result: RunResult) -> None:
        self.remove_task(self.bars.pop(run_id))
        self.fractions[run_id] = 1.0
        self.n_ended += 1
        line = describe_result(result)
        if not self.live.is_started:
            done = sum(self.fractions.values())
            left_s = (time.monotonic() - self.started) * (self.n_runs - done) / done
            line += f" ({self.n_ended}/{self.n_runs} runs, ETA {left_s:.0f} s)"
        self.console.print(line)


def describe_spec(spec: RunSpec) -> str:
    """Return how a run is named on the terminal, as Rich markup."""
    return escape(f"{spec.method} · {spec.dataset} · fold {spec.fold} · seed {spec.seed}")


def describe_result(result: RunResult) -> str:
    """Return one line, as Rich markup, that says how a run ended."""
    where = escape(f"{result.label} · {result.dataset} · fold {result.fold} · seed {result.seed}")
    head = f"[{STYLES.get(result.status, 'red')}]{result.status:<8}[/] {where}"
    if result.status is not Status.DONE or result.cost is None:
        return f"{head}: {escape(shorten_text(result.reason))}"
    dice = mean_defined(row.dice for row in result.cases)
    part = ""
    if share_defined(result.cases, "dice") < 1:
        part = f" (of {dice.n} of {len(result.cases)} scores)"
    duration_s = result.cost.fit_s + result.cost.score_s
    return f"{head}: Dice {100 * dice.value:.1f} %{part} in {duration_s:.0f} s"


class StudyDisplay(Bars):
    """Shows the events of `run_studies`: a bar for each study."""

    def __init__(self, console: Console, plans: Sequence[StudyPlan]) -> None:
        super().__init__(console)
        self.best: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        for plan in plans:
            name = escape(f"{plan.run.method} · {plan.run.dataset}")
            total = plan.tune.trials or None
            self.bars[plan.name] = self.add_task(name, total=total, state="waiting")

    def show(self, event: TrialEvent) -> None:
        """Bring the bars up to date; a trial that has ended becomes a line of its own."""
        name = event.plan.name
        trial = event.trial
        if trial.status == RUNNING:
            total = event.plan.tune.trials
            state = f"trial {trial.number + 1}"
            if total:
                state += f"/{total}"
            if event.validations:
                state += f", validated {event.validations} x"
            self.update(self.bars[name], state=state)
            return
        if trial.status == Status.DONE and trial.dice is not None:
            self.best[name] = max(trial.dice, self.best.get(name, 0.0))
        self.update(self.bars[name], completed=trial.number + 1)
        self.console.print(describe_trial(event, self.best.get(name)))


def describe_trial(event: TrialEvent, best: float | None) -> str:
    """Return one line, as Rich markup, that says how a trial ended."""
    run = event.plan.run
    trial = event.trial
    number = f"trial {trial.number + 1}/{event.plan.tune.trials or '?'}"
    name = escape(f"{run.method} · {run.dataset} · {number}")
    style = STYLES.get(trial.status, "red")
    found = escape(shorten_text(trial.reason))
    if trial.dice is not None:
        found = f"inner Dice {100 * trial.dice:.1f}"
    if best is not None:
        found += f", best {100 * best:.1f}"
    return f"[{style}]{escape(trial.status):8}[/] {name}  {found} ({trial.fit_s:.0f} s)"
