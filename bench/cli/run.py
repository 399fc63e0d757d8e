"""The command `run`: a grid of runs, from the data to the table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from bench.cli import terminal
from bench.cli.display.cases import case_progress
from bench.cli.display.options import OutputRequest
from bench.cli.display.runs import GridDisplay
from bench.cli.display.session import Session
from bench.cli.display.words import FAILURES
from bench.cli.jobs.compiler import check_compile
from bench.cli.jobs.executor import Executor, ExecutorRequest, Watcher, choose_executor
from bench.cli.options import ComputeRequest, Request, TuneRequest, flag, option, takes
from bench.cli.request import lay_out_runs, read_request, warn_about_synthetic_inputs
from bench.cli.tune import (
    check_searches,
    check_storage,
    check_tuned_alone,
    search_values,
    with_budget,
)
from bench.grid.forecast import Forecast
from bench.grid.plan import Experiment, Plan, count_work, prepare_data
from bench.grid.runner import Event, promote_finished_attempts, split_finished
from bench.run.interruption import interruptible, list_command_signals
from bench.run.ranks.batches import check_batches
from bench.run.watch.log_file import LOG_FILE
from bench.specs.disks import describe_network_disk
from bench.specs.run import RUNS, RunSpec, run_folder
from bench.tracking.browsing import list_addresses
from bench.tracking.connection import default_uri, describe_browsing
from bench.tracking.groups import begin_group
from bench.tuning.tuned_values import apply_file, apply_tuned, best_values, find_studies, read_toml
from datasets.processes import PROGRAM
from reports.formats.terminal import escape
from reports.records.run import RESULT_FILE, RunResult
from reports.records.text import count

if TYPE_CHECKING:
    from bench.tracking.publishing import Tracker

commands = typer.Typer()


@dataclass(frozen=True)
class RunOptions(OutputRequest):
    """Which runs to repeat, where their settings come from, what to tell, as it was typed."""

    force: bool = flag("Repeat runs that are done.")
    tune: int = option(
        0, "Tune each method first, with so many trials, and run with the best.", at_least=0
    )
    tuned: bool = flag("Run with the best of the studies below --out.")
    settings: Path | None = option(None, "Run with the values of a file of `tune --export-tuned`.")
    detach: bool = flag("Submit jobs to Slurm and return; the same command follows them later.")


@commands.command()
@takes(Request, ComputeRequest, ExecutorRequest, TuneRequest, RunOptions)
def run(
    request: Request,
    compute: ComputeRequest,
    executor: ExecutorRequest,
    tuning: TuneRequest,
    options: RunOptions,
    context: typer.Context,
) -> None:
    """Train and score every method on every data set, and print the table.

    What is done is not repeated: after Ctrl-C or a power cut, give the same command again. A run
    goes on from its last checkpoint.

    Exit code: 0 all done, 1 some run failed, 2 bad input, 130 interrupted, 75 interrupted by
    SIGTERM, SIGUSR1 or SIGUSR2.
    """
    options.check()
    experiment = read_run(request, tuning, options)
    check_devices(experiment, compute, tunes=options.tune > 0)
    check_compile(compute, experiment.methods, executor.executor)
    if options.tune:
        check_storage(tuning.storage, executor.executor)
    threads = experiment.protocol.train.threads
    chosen = choose_executor(executor, compute, threads, detach=options.detach)
    session = Session(context.obj, options)
    chosen.get_ready()
    with interruptible(KeyboardInterrupt, list_command_signals()):
        try:
            plan = make_plan(experiment, chosen, tuning, options, session)
        except KeyboardInterrupt:
            what = " while tuning: the trials that have ended are kept"
            raise typer.Exit(terminal.report_interrupt(session.console, what)) from None
        code = run_plan(plan, experiment.out, chosen, options, session)
    raise typer.Exit(code)


def read_run(
    request: Request, tuning: TuneRequest, options: RunOptions, *, by_forks: bool = False
) -> Experiment:
    """Check what was typed, as `read_request`. Raises: ValueError for the user."""
    if (options.tune > 0) + options.tuned + (options.settings is not None) > 1:
        raise ValueError("run: --tune, --tuned and --settings exclude each other, got several")
    if options.settings is not None:
        read_toml(options.settings)  # a fault in it is found before the data are read
    tuning.check_used(request.set or (), tunes=options.tune > 0, is_tuned=options.tuned)
    if options.tune:
        request = with_budget(request, tuning, {"trials": options.tune})
    experiment = read_request(request, by_forks=by_forks or options.tune > 0)
    if options.tune:
        check_searches(experiment, tuning)
    return experiment


def check_devices(experiment: Experiment, compute: ComputeRequest, *, tunes: bool) -> None:
    """Raise SpecError if a run cannot be shared by the devices that were asked for."""
    if tunes:
        check_tuned_alone(compute)
    check_batches(experiment.protocol, compute.devices)


def make_plan(
    experiment: Experiment,
    executor: Executor,
    tuning: TuneRequest,
    options: RunOptions,
    session: Session,
) -> Plan:
    """Find or write the data, tune where that is asked for, and return the runs."""
    console = session.console
    warn_about_synthetic_inputs(experiment, console)
    plan = lay_out_runs(experiment, console, session.output)
    specs = choose_values(plan, experiment, executor, tuning, options, session)
    console.print(f"settings: {describe_tuning(specs)}", soft_wrap=True)
    return replace(plan, runs=tuple(specs))


def choose_values(
    plan: Plan,
    experiment: Experiment,
    executor: Executor,
    tuning: TuneRequest,
    options: RunOptions,
    session: Session,
) -> Sequence[RunSpec]:
    """Return the runs with tuned values, if asked for: from a file, from studies, or tuned now."""
    specs = plan.runs
    if options.settings is not None:
        return apply_file(specs, options.settings)
    if options.tuned:
        records = find_studies(specs, experiment.out, tuning.study)
    elif experiment.protocol.tune.trials:
        records = search_values(specs, experiment, executor, tuning, session.output)
    else:
        return specs
    return apply_tuned(specs, [best_values(record) for record in records])


def describe_tuning(specs: Sequence[RunSpec]) -> str:
    """Return in words where the runs' settings come from."""
    if not any(spec.study for spec in specs):
        return "defaults, the same learning rate for every method (tune them: --tune 20)"
    budget = specs[0].protocol.tune.budget
    return (
        f"each method's own, found by `{PROGRAM} tune` on inner validation cases, {budget} a method"
    )


def run_plan(
    plan: Plan, out: Path, executor: Executor, options: RunOptions, session: Session
) -> int:
    """Carry out the runs that are not done yet, send all to MLflow, print the table."""
    specs = plan.runs
    console = session.console
    with case_progress(console, session.output) as on_case:
        promote_finished_attempts(specs, out)
        if not options.force:
            finished, to_do = split_finished(specs, out)
        else:
            finished, to_do = [], list(specs)
        prepare_data(to_do, plan.sources, out, on_case)
    if to_do and not options.quiet:
        place = out / RUNS / "NAME" / LOG_FILE
        console.print(f"logs:    {escape(place)}, a folder for each run", soft_wrap=True)
    group = begin_group(specs, session.command, out)
    to_do = [replace(spec, group=group.id) for spec in to_do]
    terminal.print_warning(describe_network_disk(default_uri()), console)
    tracking = LateTracking(out, console)
    results = {spec.run_id: result for spec, result in finished}
    if finished:
        count = f"{len(finished)} of {len(specs)} runs"
        console.print(f"{count} are done already (--force repeats them)")
    try:
        for spec, result in finished:
            tracking.tracker.send(result, run_folder(out, spec))
        forecast = build_forecast(replace(plan, runs=tuple(to_do)), finished, executor)
        with GridDisplay(console, session.output, forecast, out) as display:

            def on_event(event: Event) -> None:
                display.show(event)
                tracking.follow(event)
                if event.result is not None:
                    results[event.spec.run_id] = event.result

            watcher = Watcher(on_event, lambda note: display.console.print(escape(note)))
            executor.carry_out(to_do, out, watcher, force=options.force)
    except KeyboardInterrupt:
        what = f": {len(results)} of {len(specs)} runs have ended"
        if executor.goes_on:
            what += ", jobs go on (scancel ends them)"
        return terminal.report_interrupt(console, what)
    finally:
        tracking.finish()
    if len(results) < len(specs):
        left = f"{len(specs) - len(results)} of {len(specs)} runs are left to Slurm"
        console.print(f"{left} (`status` shows them, the same command without --detach follows)")
        return terminal.EXIT_DONE
    return print_outcome([results[spec.run_id] for spec in specs], len(to_do), out, session)


@dataclass
class LateTracking:
    """What sends results to MLflow, from its first use: imports take as long as a run's start."""

    out: Path
    console: Console

    @cached_property
    def tracker(self) -> Tracker:
        """The tracker, with its store open."""
        from bench.tracking.publishing import Tracker  # imports pandas

        return Tracker(self.out, console=self.console)

    def follow(self, event: Event) -> None:
        """Open the store, once as many runs have been started as may go on; send what has ended."""
        if event.phase != "start":
            _ = self.tracker
        if event.result is not None:
            self.tracker.send(event.result, run_folder(self.out, event.spec))

    def finish(self) -> None:
        """Finish what has been sent."""
        if "tracker" in vars(self):
            self.tracker.finish()


def build_forecast(
    plan: Plan, finished: Sequence[tuple[RunSpec, RunResult]], executor: Executor
) -> Forecast:
    """Return the forecast of the plan's runs, with what the finished ones tell."""
    forecast = Forecast(plan.runs, count_work(plan.runs, plan.splits), executor.n_slots)
    for spec, result in finished:
        if result.cost is not None:
            forecast.learn(spec, result.cost.phases)
    return forecast


def print_outcome(results: Sequence[RunResult], n_new: int, out: Path, session: Session) -> int:
    """Print the table of the runs and where to read on; return the exit code."""
    from reports.analysis.comparison import compare_methods  # imports pandas
    from reports.tables.kinds.main import main_table

    console = session.console
    terminal.print_tables([main_table([table]) for table in compare_methods(results)], console)
    minutes, seconds = divmod(round(time.time() - session.started), 60)
    taken = f"{minutes} min {seconds} s from the command to its table"
    console.print(f"time:    {taken}, {count(n_new, 'run')} carried out")
    console.print(f"tables:  [bold]{PROGRAM} report --format latex[/]")
    address = escape(describe_browsing(default_uri()))
    console.print(f"browse:  [bold]{address}[/]", soft_wrap=True)
    for page in list_addresses([result.dataset for result in results]):
        console.print(f"         {escape(page)}", soft_wrap=True)
    failed = [result for result in results if result.status in FAILURES]
    for result in failed:
        run = out / RUNS / result.run_id
        where = f"the reason, and the traceback if any, are in {escape(run / RESULT_FILE)}"
        sentence = f"[red]not done:[/] {where}, what its process printed in {LOG_FILE} beside it"
        console.print(sentence, soft_wrap=True)
    if failed:
        return terminal.EXIT_FAILED
    return terminal.EXIT_DONE
