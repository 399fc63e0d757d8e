"""What `tune` does, and how `run` comes by tuned values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.campaign import StudyPlan, plan_studies, run_studies
from bench.commands import EXIT_DONE, EXIT_FAILED_RUNS, EXIT_INTERRUPTED, say_what_is_missing
from bench.display import case_progress
from bench.experiment import Experiment, lay_out
from bench.publishing import Tracker
from bench.request import TuneRequest
from bench.runner import Slots
from bench.search import check_owners
from bench.spec import RunSpec, SpecError
from bench.study_display import StudyDisplay
from bench.study_record import TUNING, StudyRecord
from bench.tuned import apply_tuned, find_tuned, read_toml, take_best, write_toml
from reports.terminal import build_terminal_table
from reports.tuning import tuning_table

STORAGE = "optuna.db"
UNITS_S = {"s": 1, "m": 60, "h": 3600}


def tune_command(
    experiment: Experiment, tuning: TuneRequest, slots: Slots, export: Path | None, console: Console
) -> int:
    """Carry out the studies of a grid and print what they have found; return the exit code."""
    say_what_is_missing(experiment, console)
    with case_progress(console) as on_case:
        specs = lay_out(experiment, on_case)
    try:
        records = _tune(specs, experiment, tuning, slots, console)
    except KeyboardInterrupt:
        console.print("interrupted: the trials that have ended are kept; the same command does the rest")
        return EXIT_INTERRUPTED
    console.print()
    console.print(build_terminal_table(tuning_table(records)))
    if all(record.best is None for record in records):
        return EXIT_FAILED_RUNS
    if export is not None:
        write_toml(export, [take_best(record) for record in records])
        console.print(f"values: {export}   use them:  [bold]python -m bench run --settings {export}[/]")
    console.print("final runs:  [bold]python -m bench run --tuned[/] with the same methods and data sets")
    return EXIT_DONE if all(record.best for record in records) else EXIT_FAILED_RUNS


def choose_values(
    experiment: Experiment,
    tuning: TuneRequest,
    slots: Slots,
    specs: Sequence[RunSpec],
    console: Console,
    *,
    tuned: bool,
    settings: Path | None,
) -> list[RunSpec]:
    """Return the runs with tuned values, where the command asks for them: from studies, from a file, or tuned now."""
    if settings is not None:
        return apply_tuned(specs, read_toml(settings))
    if tuned:
        return apply_tuned(specs, find_tuned(experiment.out))
    if not experiment.protocol.tune.trials:
        return list(specs)
    records = _tune(specs, experiment, tuning, slots, console)
    console.print()
    console.print(build_terminal_table(tuning_table(records)))
    return apply_tuned(specs, [take_best(record) for record in records])


def read_budget(text: str) -> float:
    """Return the seconds of a length of time such as ``90s``, ``30m`` or ``2h``.

    Raises: SpecError if it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None or float(match[1]) == 0:
        raise SpecError(f"--budget: must be a length of time such as 90s, 30m or 2h, got '{text}'")
    return float(match[1]) * UNITS_S[match[2]]


def _tune(
    specs: Sequence[RunSpec], experiment: Experiment, tuning: TuneRequest, slots: Slots, console: Console
) -> list[StudyRecord]:
    check_owners(tuning.search or (), [spec.method.name for spec in specs])
    plans: list[StudyPlan] = plan_studies(specs, experiment.out, tuning.search or (), tuning.study)
    storage = tuning.storage or f"sqlite:///{(experiment.out / TUNING / STORAGE).resolve()}"
    tune = experiment.protocol.tune
    budget = f"{tune.budget_s:.0f} s of fit" if tune.budget_s else f"{tune.trials} trials"
    console.print(f"tuning {len(plans)} methods x data sets, {budget} each, in {storage}", soft_wrap=True)
    with StudyDisplay(console, plans) as display:
        records = run_studies(plans, storage, experiment.out, slots, display.show)
    tracker = Tracker(experiment.out, console)
    for plan, record in zip(plans, records, strict=True):
        tracker.send_study(record, plan.folder)
    return records
