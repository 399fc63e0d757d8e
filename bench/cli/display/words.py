"""Runs and trials in words, as Rich markup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.run.watch.log_file import LOG_FILE
from reports.analysis.aggregates import mean_defined, share_defined
from reports.formats.terminal import escape
from reports.records.run import RunResult, Status
from reports.records.study import PRUNED
from reports.records.text import shorten_text

if TYPE_CHECKING:  # `--help` needs none of these
    from bench.specs.run import RunSpec
    from bench.tuning.plan import TrialEvent

STYLES = {Status.DONE: "green", Status.SKIPPED: "yellow", PRUNED: "dim"}  # else red
FAILURES = (Status.FAILED, Status.DIVERGED, Status.OOM, Status.TIMEOUT)


def describe_spec(spec: RunSpec) -> str:
    """Return how a run is named on the terminal."""
    return escape(f"{spec.method} · {spec.dataset} · fold {spec.fold} · seed {spec.seed}")


def describe_result(result: RunResult, folder: Path | None = None) -> str:
    """Return one line that says how a run ended; of a failure, with the log in its folder."""
    where = escape(f"{result.label} · {result.dataset} · fold {result.fold} · seed {result.seed}")
    head = f"[{STYLES.get(result.status, 'red')}]{result.status:<8}[/] {where}"
    if result.status is not Status.DONE or result.cost is None:
        return f"{head}: {escape(shorten_text(result.reason))}{_name_log(result.status, folder)}"
    dice = mean_defined(row.dice for row in result.cases)
    part = ""
    if share_defined(result.cases, "dice") < 1:
        part = f" (of {dice.n} of {len(result.cases)} scores)"
    duration_s = result.cost.fit_s + result.cost.score_s
    return f"{head}: Dice {100 * dice.value:.1f} %{part} in {duration_s:.0f} s"


def describe_trial(event: TrialEvent, best: float | None) -> str:
    """Return one line that says how a trial ended; of a failure, with its log."""
    trial = event.trial
    style = STYLES.get(trial.status, "red")
    found = escape(shorten_text(trial.reason))
    if trial.dice is not None:
        found = f"inner Dice {100 * trial.dice:.1f}"
    if best is not None:
        found += f", best {100 * best:.1f}"
    found += f" ({trial.fit_s:.0f} s)"
    found += _name_log(trial.status, event.plan.trial_folder(trial.number))
    return f"[{style}]{escape(trial.status):8}[/] {name_trial(event)}  {found}"


def name_trial(event: TrialEvent) -> str:
    """Return how a trial is named on the terminal."""
    run = event.plan.run
    number = f"trial {event.trial.number + 1}/{event.plan.tune.trials or '?'}"
    return escape(f"{run.method} · {run.dataset} · {number}")


def _name_log(status: str, folder: Path | None) -> str:
    if folder is None or status not in FAILURES:
        return ""
    return f"; log: {escape(folder / LOG_FILE)}"
