"""What the terminal shows while a grid runs: bars with the time left, or plain lines where it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.grid.plan import Experiment
from bench.grid.runner import Event
from bench.specs.run import EMBEDDED_WEIGHTS, RunSpec
from bench.tuning.campaign import StudyPlan, TrialEvent
from reports.analysis.aggregates import mean_defined
from reports.formats.terminal import build_terminal_table
from reports.records.run import RunResult, Status
from reports.tables.table import Table

STYLES = {
    Status.DONE: "green",
    Status.SKIPPED: "yellow",
    Status.DIVERGED: "red",
    Status.OOM: "red",
    Status.FAILED: "red",
}

FIT_FRAC = 0.85  # how much of a run is training; the rest is scoring


class GridDisplay:
    """Shows the events of `runner.run_grid`; a context manager."""

    def __init__(self, console: Console, n_runs: int) -> None:
        self.console = console
        self.n_runs = n_runs
        self.started = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
        )
        clock = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
        live = console.is_terminal
        self.progress = Progress(
            *columns, *clock, console=console, disable=not live, speed_estimate_period=300
        )
        self.grid = self.progress.add_task("all runs", total=n_runs, state=f"0/{n_runs}")
        self.tasks: dict[str, TaskID] = {}
        self.fractions: dict[str, float] = {}
        self.n_ended = 0

    def __enter__(self) -> GridDisplay:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def show(self, event: Event) -> None:
        """Bring the bars up to date; a run that has ended becomes a line of its own."""
        run_id = event.spec.run_id
        if event.phase == "start":
            self.tasks[run_id] = self.progress.add_task(
                describe_spec(event.spec), total=1.0, state="starting"
            )
        elif event.result is not None:
            self.progress.remove_task(self.tasks.pop(run_id))
            self.fractions[run_id] = 1.0
            self.n_ended += 1
            self.console.print(
                describe_result(event.result)
                + ("" if self.progress.live.is_started else self._eta())
            )
        else:
            share = event.done / event.total
            self.fractions[run_id] = (
                FIT_FRAC * share if event.phase == "fit" else FIT_FRAC + (1 - FIT_FRAC) * share
            )
            state = (
                f"{'epoch' if event.phase == 'fit' else 'scoring case'} {event.done}/{event.total}"
            )
            self.progress.update(self.tasks[run_id], completed=self.fractions[run_id], state=state)
        done = sum(self.fractions.values())
        self.progress.update(self.grid, completed=done, state=f"{self.n_ended}/{self.n_runs}")

    def _eta(self) -> str:
        done = sum(self.fractions.values())
        left_s = (time.monotonic() - self.started) * (self.n_runs - done) / done
        return f" ({self.n_ended}/{self.n_runs} runs, ETA {left_s:.0f} s)"


def describe_spec(spec: RunSpec) -> str:
    """Return how a run is named on the terminal, as Rich markup."""
    return escape(f"{spec.method} · {spec.dataset} · fold {spec.fold} · seed {spec.seed}")


def describe_result(result: RunResult) -> str:
    """Return one line, as Rich markup, that says how a run ended."""
    where = escape(f"{result.label} · {result.dataset} · fold {result.fold} · seed {result.seed}")
    head = f"[{STYLES[result.status]}]{result.status:<8}[/] {where}"
    if result.status is not Status.DONE or result.cost is None:
        return f"{head}: {escape(result.reason)}"
    dice = mean_defined(row.dice for row in result.cases).value
    return f"{head}: Dice {100 * dice:.1f} % in {result.cost.fit_s + result.cost.score_s:.0f} s"


@contextmanager
def case_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that goes case by case; it appears only when there is something to do."""
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def on_case(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield on_case


EXIT_DONE, EXIT_FAILED_RUNS, EXIT_INTERRUPTED = 0, 1, 130


def say_what_is_missing(experiment: Experiment, console: Console) -> None:
    """Say where neither the data nor the weights are real."""
    if experiment.phantom is not None:
        console.print("[yellow]no --data-root: the data are SYNTHETIC phantoms, not patients[/]")
    if experiment.protocol.model.weights == "none":
        console.print("[yellow]weights: none, the backbone starts from random numbers[/]")
    if experiment.protocol.model.weights == EMBEDDED_WEIGHTS:
        console.print(
            "[yellow]weights: formula-vit (embedded), pre-trained on images drawn from formulas[/]"
        )


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print tables one below the other."""
    for table in tables:
        console.print()
        console.print(build_terminal_table(table))


class StudyDisplay:
    """Shows the events of `campaign.run_studies`; a context manager."""

    def __init__(self, console: Console, plans: Sequence[StudyPlan]) -> None:
        self.console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
        )
        clock = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
        live = console.is_terminal
        self.progress = Progress(
            *columns, *clock, console=console, disable=not live, speed_estimate_period=300
        )
        self.best: dict[str, float] = {}
        self.tasks = {
            plan.spec.name: self.progress.add_task(
                escape(f"{plan.run.method} · {plan.run.dataset}"),
                total=plan.spec.tune.trials or None,
                state="waiting",
            )
            for plan in plans
        }

    def __enter__(self) -> StudyDisplay:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def show(self, event: TrialEvent) -> None:
        """Bring the bars up to date; a trial that has ended becomes a line of its own."""
        name, outcome = event.plan.spec.name, event.outcome
        total = event.plan.spec.tune.trials
        if outcome is None:
            state = f"trial {event.number + 1}{f'/{total}' if total else ''}"
            validated = f", validated {event.validations} x" if event.validations else ""
            self.progress.update(self.tasks[name], state=state + validated)
            return
        if outcome.status is Status.DONE and not outcome.pruned:
            self.best[name] = max(outcome.dice, self.best.get(name, 0.0))
        self.progress.update(self.tasks[name], completed=event.number + 1)
        self.console.print(describe_trial(event, self.best.get(name)))


def describe_trial(event: TrialEvent, best: float | None) -> str:
    """Return one line, as Rich markup, that says how a trial ended."""
    run, outcome = event.plan.run, event.outcome
    assert outcome is not None
    number = f"trial {event.number + 1}/{event.plan.spec.tune.trials or '?'}"
    word = "pruned" if outcome.pruned else outcome.status.value
    style = "dim" if outcome.pruned else STYLES[outcome.status]
    found = (
        f"inner Dice {100 * outcome.dice:.1f}"
        if outcome.status is Status.DONE
        else escape(outcome.reason)
    )
    so_far = "" if best is None else f", best {100 * best:.1f}"
    name = escape(f"{run.method} · {run.dataset} · {number}")
    return f"[{style}]{word:8}[/] {name}  {found}{so_far} ({outcome.fit_s:.0f} s)"
