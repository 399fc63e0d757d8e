"""What the terminal shows while studies go on: a bar for each, and a line for each trial that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.campaign import StudyPlan, TrialEvent
from bench.display import STYLES
from bench.results import Status


class StudyDisplay:
    """Shows the events of `campaign.run_studies`; a context manager."""

    def __init__(self, console: Console, plans: Sequence[StudyPlan]) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        clock = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
        live = console.is_terminal
        self.progress = Progress(*columns, *clock, console=console, disable=not live, speed_estimate_period=300)
        self.best: dict[str, float] = {}
        self.tasks = {
            plan.spec.name: self.progress.add_task(
                escape(f"{plan.run.method} · {plan.run.dataset}"), total=plan.spec.tune.trials or None, state="waiting"
            )
            for plan in plans
        }

    def __enter__(self) -> StudyDisplay:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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
    found = f"inner Dice {100 * outcome.dice:.1f}" if outcome.status is Status.DONE else escape(outcome.reason)
    so_far = "" if best is None else f", best {100 * best:.1f}"
    name = escape(f"{run.method} · {run.dataset} · {number}")
    return f"[{style}]{word:8}[/] {name}  {found}{so_far} ({outcome.fit_s:.0f} s)"
