"""What each command of the command line does, in terms of the rooms below."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import tracking
from bench.display import GridDisplay, case_progress, describe_spec
from bench.experiment import Experiment, lay_out, prepare_data
from bench.groups import begin_group
from bench.local_store import describe_browsing
from bench.publishing import Tracker, sync
from bench.reporting import print_tables
from bench.results import RESULT_FILE, Status
from bench.runner import Event, Slots, adopt_ended, run_folder, run_grid, split_finished
from bench.spec import EMBEDDED_WEIGHTS, RunSpec
from reports.main_table import main_table
from reports.summary import method_tables

EXIT_DONE, EXIT_FAILED_RUNS, EXIT_INTERRUPTED = 0, 1, 130


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

    ``command`` is what was typed; ``with_values`` returns the runs with tuned values, if they are to have any.
    """
    say_what_is_missing(experiment, console)
    with case_progress(console) as on_case:
        specs = lay_out(experiment, on_case)
    try:
        specs = list(with_values(specs, console))
    except KeyboardInterrupt:
        console.print("interrupted while tuning: the trials that have ended are kept; the same command does the rest")
        return EXIT_INTERRUPTED
    console.print(f"settings: {describe_tuning(specs)}")
    with case_progress(console) as on_case:
        adopt_ended(specs, experiment.out)
        finished, to_do = ([], specs) if force else split_finished(specs, experiment.out)
        prepare_data(to_do, experiment.out, on_case)
    group = begin_group(specs, command, experiment.out)
    to_do = [replace(spec, group=group.id) for spec in to_do]
    tracker = Tracker(experiment.out, console)
    if finished:
        console.print(f"{len(finished)} of {len(specs)} runs are done already (--force repeats them)")
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
        console.print(f"interrupted: {len(results)} of {len(specs)} runs have ended; the same command does the rest")
        return EXIT_INTERRUPTED
    finally:
        tracker.finish()
    order = {spec.run_id: number for number, spec in enumerate(specs)}
    tables = method_tables(sorted(results, key=lambda result: order[result.run_id]))
    print_tables([main_table([table]) for table in tables], console)
    minutes, seconds = divmod(round(time.time() - psutil.Process().create_time()), 60)
    console.print(f"time:    {minutes} min {seconds} s from the command to its table, {len(to_do)} runs carried out")
    console.print("tables:  [bold]python -m bench report --format latex[/]")
    console.print(f"browse:  [bold]{escape(describe_browsing(tracking.default_uri()))}[/]", soft_wrap=True)
    failed = [result.run_id for result in results if result.status in (Status.FAILED, Status.DIVERGED, Status.OOM)]
    for run_id in failed:
        record = escape(str(experiment.out / "runs" / run_id / RESULT_FILE))
        console.print(f"[red]not done:[/] the reason, and the traceback if any, are in {record}", soft_wrap=True)
    return EXIT_FAILED_RUNS if failed else EXIT_DONE


def plan_command(experiment: Experiment, console: Console) -> None:
    """Print the cells of the grid with their state."""
    with case_progress(console) as on_case:
        specs = lay_out(experiment, on_case)
    finished, to_do = split_finished(specs, experiment.out)
    states = {spec.run_id: result.status.value for spec, result in finished}
    table = Table(title=f"{len(specs)} runs in {experiment.out / 'runs'}: {len(finished)} done, {len(to_do)} to do")
    for heading in ("run", "state", "folder"):
        table.add_column(heading, overflow="fold")
    for spec in specs:
        table.add_row(describe_spec(spec), states.get(spec.run_id, "to do"), escape(spec.run_id))
    console.print(table)


def sync_command(out: Path, console: Console) -> int:
    """Send to MLflow what it lacks of the results in the run folders; return the exit code."""
    uri = tracking.default_uri()
    moved = tracking.repair_moved(uri)
    tally = sync(tracking.open_store(uri), out)
    if moved:
        console.print(f"the store was moved: the files of {', '.join(moved)} are looked for beside it", markup=False)
    for run_id in tally.sent:
        console.print(f"sent {run_id}", markup=False, soft_wrap=True)
    for name in tally.sent_studies:
        console.print(f"sent study {name}", markup=False, soft_wrap=True)
    console.print(f"sent {len(tally.sent)} of {tally.n_results} results to {uri}", markup=False, soft_wrap=True)
    for problem in tally.problems:
        console.print(f"[red]problem:[/] {escape(problem)}", soft_wrap=True)
    console.print(f"browse:  [bold]{escape(describe_browsing(uri))}[/]", soft_wrap=True)
    return EXIT_FAILED_RUNS if tally.problems else EXIT_DONE


def ui_command(port: int) -> int:
    """Serve the MLflow UI until Ctrl-C; return its exit code."""
    uri = tracking.default_uri()
    if uri.startswith("http"):
        raise ValueError(f"ui: MLFLOW_TRACKING_URI is a server, got {uri} (open that address in a browser)")
    tracking.prepare_environment()  # the UI shall not send usage data either
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(port)]
    return subprocess.run(command, check=False).returncode


def describe_tuning(specs: Sequence[RunSpec]) -> str:
    """Return what the runs' settings are: the protocol's and the methods' defaults, or found under which budget."""
    if not any(spec.study for spec in specs):
        return "defaults, the same learning rate for every method (tune them: --tune 20)"
    budget = specs[0].protocol.tune.budget
    return f"each method's own, found by `bench tune` on inner validation cases, {budget} a method"


def say_what_is_missing(experiment: Experiment, console: Console) -> None:
    """Say where neither the data nor the weights are real."""
    if experiment.phantom is not None:
        console.print("[yellow]no --data-root: the data are SYNTHETIC phantoms, not patients[/]")
    if experiment.protocol.model.weights == "none":
        console.print("[yellow]weights: none, the backbone starts from random numbers[/]")
    if experiment.protocol.model.weights == EMBEDDED_WEIGHTS:
        console.print("[yellow]weights: formula-vit (embedded), pre-trained on images drawn from formulas[/]")
