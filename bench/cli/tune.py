"""What `tune` does, and how `run` comes by tuned values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock
from rich.console import Console
from rich.markup import escape

from bench.cli.options import TuneRequest
from bench.cli.terminal import (
    EXIT_DONE,
    EXIT_FAILED_RUNS,
    EXIT_INTERRUPTED,
    StudyDisplay,
    say_what_is_missing,
)
from bench.cli.values import lay_out_runs
from bench.grid.plan import Experiment
from bench.grid.runner import Slots
from bench.models.contract import check_methods
from bench.specs.protocol import SpecError
from bench.specs.run import RunSpec
from bench.tracking.publishing import Tracker
from bench.tuning.best_values import apply_tuned, find_studies, read_toml, take_best, write_toml
from bench.tuning.campaign import LOCK, StudyPlan, plan_studies, run_studies
from bench.tuning.space import build_space, check_only, check_owners, split_values
from reports.formats.terminal import build_terminal_table
from reports.records.run import Status
from reports.records.study import TUNING, StudyRecord
from reports.tables.tuning import tuning_tables

STORAGE = "optuna.db"
UNITS_S = {"s": 1, "m": 60, "h": 3600}


def check_searches(experiment: Experiment, tuning: TuneRequest) -> None:
    """Check what shall be searched, before any data are looked at.

    Raises: ValueError in one sentence for a dimension that does not exist, or whose ends do not fit
    the backbone.
    """
    searches, protocol = tuning.search or (), experiment.protocol
    check_owners(searches, [spec.name for spec in experiment.methods])
    built = [spec.build() for spec in experiment.methods]
    check_only(tuning.dimensions, built, protocol, searches)
    for method in built:
        asked = set(build_space(method, protocol, searches)) - set(build_space(method, protocol))
        owned = [
            split_values({dimension.key: end})[0] for dimension in asked for end in dimension.ends
        ]
        ends = [replace(method, **values) for values in owned if values]
        check_methods(ends, protocol.model.backbone, protocol.data.patch)


def tune_command(
    experiment: Experiment, tuning: TuneRequest, slots: Slots, export: Path | None, console: Console
) -> int:
    """Carry out the studies of a grid and print what they have found; return the exit code."""
    say_what_is_missing(experiment, console)
    specs = lay_out_runs(experiment, console).runs
    try:
        records = _tune(specs, experiment, tuning, slots, console)
    except KeyboardInterrupt:
        console.print(
            "interrupted: the trials that have ended are kept; the same command does the rest"
        )
        return EXIT_INTERRUPTED
    _print_tables(records, console)
    if export is not None:
        export.parent.mkdir(parents=True, exist_ok=True)
        write_toml(export, [take_best(record) for record in records])
        console.print(
            f"values: {export}   use them:  [bold]python -m bench run --settings {export}[/]"
        )
    console.print(
        "final runs:  [bold]python -m bench run --tuned[/] with the same methods and data sets"
    )
    failed = [
        record
        for record in records
        if record.best is None and record.trials[0].status != Status.SKIPPED
    ]
    return EXIT_FAILED_RUNS if failed else EXIT_DONE


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
        records = find_studies(specs, experiment.out, tuning.study)
        return apply_tuned(specs, [take_best(record) for record in records])
    if not experiment.protocol.tune.trials:
        return list(specs)
    records = _tune(specs, experiment, tuning, slots, console)
    _print_tables(records, console)
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
    specs: Sequence[RunSpec],
    experiment: Experiment,
    tuning: TuneRequest,
    slots: Slots,
    console: Console,
) -> list[StudyRecord]:
    plans: list[StudyPlan] = plan_studies(
        specs, experiment.out, tuning.search or (), tuning.study, tuning.dimensions
    )
    storage = tuning.storage or f"sqlite:///{(experiment.out / TUNING / STORAGE).resolve()}"
    budget = experiment.protocol.tune.budget
    console.print(
        f"tuning {len(plans)} methods x data sets, {budget} each, in {storage}", soft_wrap=True
    )
    with StudyDisplay(console, plans) as display:
        records = run_studies(plans, storage, experiment.out, slots, display.show)
    with FileLock(
        experiment.out / TUNING / LOCK
    ):  # workers that share the studies end at the same time
        tracker = Tracker(experiment.out, console=console)
        for plan, record in zip(plans, records, strict=True):
            tracker.send_study(record, plan.folder)
    return records


def _print_tables(records: Sequence[StudyRecord], console: Console) -> None:
    for table in tuning_tables(records):
        console.print()
        console.print(build_terminal_table(table))
    for record in records:
        if record.best is None:
            reasons = escape(record.reasons)
            console.print(
                f"[yellow]{record.name}: no trial has ended well ({reasons}); the default is what is left[/]"
            )
