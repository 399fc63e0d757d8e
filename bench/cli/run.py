"""What each command of the command line does, in terms of the rooms below."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.terminal import (
    EXIT_DONE,
    EXIT_FAILED_RUNS,
    EXIT_INTERRUPTED,
    GridDisplay,
    case_progress,
    describe_spec,
    print_tables,
    say_what_is_missing,
)
from bench.cli.values import lay_out_runs
from bench.grid.plan import Experiment, prepare_data
from bench.grid.runner import Event, Slots, adopt_ended, run_grid, split_finished
from bench.specs.folders import run_folder
from bench.specs.run import RunSpec
from bench.tracking.connection import default_uri
from bench.tracking.groups import begin_group
from bench.tracking.local_store import describe_browsing
from bench.tracking.publishing import Tracker
from reports.analysis.comparison import compare_methods
from reports.records.run import RESULT_FILE, Status
from reports.tables.main import main_table


def run_grid_command(
    experiment: Experiment,
    slots: Slots,
    command: str,
    with_values: Callable[[Sequence[RunSpec], Console], Sequence[RunSpec]],
    *,
    force: bool,
    console: Console,
) -> int:
    """Carry out a grid, from the data to the printed table; return the exit code.

    ``command`` is what was typed; ``with_values`` returns the runs with tuned values, if they are
    to have any.
    """
    say_what_is_missing(experiment, console)
    plan = lay_out_runs(experiment, console)
    try:
        specs = list(with_values(plan.runs, console))
    except KeyboardInterrupt:
        console.print(
            "interrupted while tuning: the trials that have ended are kept; the same command does the rest"
        )
        return EXIT_INTERRUPTED
    console.print(f"settings: {describe_tuning(specs)}")
    with case_progress(console) as on_case:
        adopt_ended(specs, experiment.out)
        finished, to_do = ([], specs) if force else split_finished(specs, experiment.out)
        prepare_data(to_do, plan.sources, experiment.out, on_case)
    group = begin_group(specs, command, experiment.out)
    to_do = [replace(spec, group=group.id) for spec in to_do]
    tracker = Tracker(experiment.out, console=console)
    if finished:
        console.print(
            f"{len(finished)} of {len(specs)} runs are done already (--force repeats them)"
        )
        for spec, result in finished:
            tracker.send(result, run_folder(experiment.out, spec))
    results = [result for _, result in finished]
    try:
        with GridDisplay(console, len(to_do)) as display:

            def on_event(event: Event) -> None:
                display.show(event)
                if event.result is not None:
                    results.append(event.result)
                    tracker.send(event.result, run_folder(experiment.out, event.spec))

            run_grid(to_do, experiment.out, slots, on_event)
    except KeyboardInterrupt:
        console.print(
            f"interrupted: {len(results)} of {len(specs)} runs have ended; the same command does the rest"
        )
        return EXIT_INTERRUPTED
    finally:
        tracker.finish()
    order = {spec.run_id: number for number, spec in enumerate(specs)}
    tables = compare_methods(sorted(results, key=lambda result: order[result.run_id]))
    print_tables([main_table([table]) for table in tables], console)
    minutes, seconds = divmod(round(time.time() - psutil.Process().create_time()), 60)
    console.print(
        f"time:    {minutes} min {seconds} s from the command to its table, {len(to_do)} runs carried out"
    )
    console.print("tables:  [bold]python -m bench report --format latex[/]")
    console.print(f"browse:  [bold]{escape(describe_browsing(default_uri()))}[/]", soft_wrap=True)
    failed = [
        result.run_id
        for result in results
        if result.status in (Status.FAILED, Status.DIVERGED, Status.OOM)
    ]
    for run_id in failed:
        record = escape(str(experiment.out / "runs" / run_id / RESULT_FILE))
        console.print(
            f"[red]not done:[/] the reason, and the traceback if any, are in {record}",
            soft_wrap=True,
        )
    return EXIT_FAILED_RUNS if failed else EXIT_DONE


def plan_command(experiment: Experiment, console: Console) -> None:
    """Print the cells of the grid with their state."""
    specs = lay_out_runs(experiment, console).runs
    finished, to_do = split_finished(specs, experiment.out)
    states = {spec.run_id: result.status.value for spec, result in finished}
    table = Table(
        title=f"{len(specs)} runs in {experiment.out / 'runs'}: {len(finished)} done, {len(to_do)} to do"
    )
    for heading in ("run", "state", "folder"):
        table.add_column(heading, overflow="fold")
    for spec in specs:
        table.add_row(describe_spec(spec), states.get(spec.run_id, "to do"), escape(spec.run_id))
    console.print(table)


def describe_tuning(specs: Sequence[RunSpec]) -> str:
    """Return what the runs' settings are: the protocol's and the methods' defaults, or found under which budget."""
    if not any(spec.study for spec in specs):
        return "defaults, the same learning rate for every method (tune them: --tune 20)"
    budget = specs[0].protocol.tune.budget
    return f"each method's own, found by `bench tune` on inner validation cases, {budget} a method"
