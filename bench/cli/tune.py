"""The command `tune`, and the search of values that `run --tune` starts."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from bench.cli.display.options import OutputRequest
from bench.cli.display.studies import StudyDisplay
from bench.cli.jobs.compiler import check_compile
from bench.cli.jobs.executor import SLURM, Executor, ExecutorRequest, choose_executor
from bench.cli.options import ComputeRequest, Request, TuneRequest, option, read_duration, takes
from bench.cli.request import lay_out_runs, read_request, warn_about_synthetic_inputs
from bench.cli.terminal import EXIT_FAILED, print_tables, print_warning, report_interrupt
from bench.grid.feasibility import check_methods
from bench.grid.plan import Experiment
from bench.run.interruption import interruptible, list_command_signals
from bench.specs.addresses import sqlite_address
from bench.specs.disks import describe_network_disk
from bench.specs.protocol import SpecError
from bench.specs.run import MethodSpec, RunSpec
from bench.tuning.jobs import StudyRequest
from bench.tuning.plan import LOCK, STORAGE
from bench.tuning.served import GRPC, SERVE, read_address, serve_storage
from bench.tuning.space import build_space, check_dimensions, split_values
from bench.tuning.study import open_storage
from bench.tuning.tuned_values import best_values, write_toml
from datasets.files import check_writable
from datasets.locks import hold_lock
from datasets.processes import PROGRAM
from methods import changed_settings
from reports.formats.terminal import SafeConsole, escape
from reports.records.run import Status
from reports.records.study import TUNING, StudyRecord
from reports.records.text import mask_passwords

commands = typer.Typer()
DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class BudgetOptions:
    """How long and by which rules to search, as it was typed."""

    trials: int | None = option(None, "Trials for each method; default 20.", at_least=1)
    budget: str | None = option(None, "Training time of each method instead: 90s, 30m or 2h.")
    sampler: str = option("tpe", "tpe, gp, random, cmaes or qmc.")
    pruner: str = option("median", "median, wilcoxon or none.")
    objectives: str = option("dice", "dice, or dice,params for a Pareto front.")
    tune_seed: int = option(0, "Seed of the sampler.")
    export_tuned: Path | None = option(None, "Write the best values to this TOML file.")
    workers: int | None = option(
        None, "Jobs of Slurm that share the trials; default: one a study.", at_least=1
    )

    @property
    def fields(self) -> dict[str, object]:
        """The budget as fields of the protocol."""
        return {
            "trials": 0 if self.budget else self.trials or DEFAULT_TRIALS,
            "budget_s": read_duration(self.budget, "--budget") if self.budget else 0.0,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "objectives": self.objectives,
            "seed": self.tune_seed,
        }


@commands.command()
@takes(Request, ComputeRequest, ExecutorRequest, TuneRequest, BudgetOptions, OutputRequest)
def tune(
    request: Request,
    compute: ComputeRequest,
    executor: ExecutorRequest,
    tuning: TuneRequest,
    options: BudgetOptions,
    output: OutputRequest,
) -> None:
    """Search each method's settings and the shared ones under one budget.

    Only the training part of the fold is used; the first trial is the default. What has been tried
    is not repeated: after Ctrl-C or a power cut, give the same command again; more of them at once
    share the work. Then: `run --tuned`.

    A study whose trials fail one after another (5; 10 where training diverges) is given up.

    Exit code: 0 all studies have a result, 1 one has none or was given up, 2 bad input, 130
    interrupted, 75 interrupted by SIGTERM, SIGUSR1 or SIGUSR2.
    """
    if options.trials is not None and options.budget is not None:
        raise ValueError("tune: --trials and --budget exclude each other, got both")
    output.check()
    if options.export_tuned is not None:
        check_writable(options.export_tuned)
    experiment = read_request(with_budget(request, tuning, options.fields), by_forks=True)
    check_searches(experiment, tuning)
    check_storage(tuning.storage, executor.executor)
    check_tuned_alone(compute)
    check_compile(compute, experiment.methods, executor.executor)
    threads = experiment.protocol.train.threads
    chosen = choose_executor(executor, compute, threads, n_workers=options.workers)
    chosen.get_ready()
    console = SafeConsole()
    warn_about_synthetic_inputs(experiment, console)
    specs = lay_out_runs(experiment, console, output).runs
    with interruptible(KeyboardInterrupt, list_command_signals()):
        try:
            records = search_values(specs, experiment, chosen, tuning, output)
        except KeyboardInterrupt:
            code = report_interrupt(console, ": the trials that have ended are kept")
            raise typer.Exit(code) from None
    if file := options.export_tuned:
        use = f"{PROGRAM} {shlex.join(['run', '--settings', str(file)])}"
        write_toml(file, [best_values(record) for record in records])
        console.print(f"values: {escape(file)}   use them:  [bold]{escape(use)}[/]", soft_wrap=True)
    again = f"[bold]{PROGRAM} run --tuned[/] with the same methods and data sets"
    console.print(f"final runs:  {again}")
    if any(map(_has_failed, records)):
        raise typer.Exit(EXIT_FAILED)


def check_tuned_alone(compute: ComputeRequest) -> None:
    """Raise SpecError if a trial is to have several devices."""
    if compute.devices > 1:
        rule = "a trial has one device, and several trials go on at once (--jobs)"
        raise SpecError(f"--devices: {rule}, got {compute.devices} (tune first, then run --tuned)")


def with_budget(request: Request, tuning: TuneRequest, budget: Mapping[str, object]) -> Request:
    """Return the request with a tuning budget among its settings; ``--set`` overrides it."""
    given = {**budget, "per_fold": tuning.tune_per_fold, "epochs": tuning.trial_epochs or 0}
    assignments = [f"tune.{name}={value}" for name, value in given.items()]
    return replace(request, set=[*assignments, *(request.set or ())])


def check_searches(experiment: Experiment, tuning: TuneRequest) -> None:
    """Raise ValueError for a dimension that does not exist or does not fit the backbone."""
    searches = tuning.search or ()
    protocol = experiment.protocol
    built = [spec.build() for spec in experiment.methods]
    check_dimensions(searches, tuning.dimensions, built, protocol)
    ends: list[MethodSpec] = []
    for spec, method in zip(experiment.methods, built, strict=True):
        asked = set(build_space(method, protocol, searches)) - set(build_space(method, protocol))
        for dimension in asked:
            for end in dimension.ends:
                own, _ = split_values({dimension.key: end})
                if own:
                    settings = changed_settings(replace(method, **own))
                    ends.append(MethodSpec(spec.name, settings))
    check_methods(ends, protocol)


def check_storage(storage: str | None, executor: str) -> None:
    """Raise SpecError if workers on several machines cannot share what was typed."""
    if storage is not None and storage.startswith(GRPC):
        read_address(storage)
    if executor != SLURM:
        return
    got = storage or "none"
    if storage is None or storage.startswith(("sqlite", "journal:")):
        rule = "workers of Slurm need serve, grpc://HOST:PORT or a database server"
        raise SpecError(mask_passwords(f"--storage: {rule}, got {got}"))


def find_storage(asked: str | None, folder: Path) -> str:
    """Return the address of the studies; where it is to be served, begin with that."""
    own = sqlite_address((folder / STORAGE).resolve())
    if asked is None:
        return own
    name, _, host = asked.partition(":")
    return serve_storage(open_storage(own), host) if name == SERVE else asked


def search_values(
    specs: Sequence[RunSpec],
    experiment: Experiment,
    executor: Executor,
    tuning: TuneRequest,
    output: OutputRequest,
) -> list[StudyRecord]:
    """Carry out the studies of a grid, send them to MLflow and print what they have found."""
    from bench.tracking.publishing import Tracker  # imports pandas
    from reports.tables.kinds.tuning import list_edges, tuning_tables

    console = SafeConsole()
    out = experiment.out
    folder = out / TUNING
    searches, only = tuple(tuning.search or ()), tuple(tuning.dimensions)
    request = StudyRequest(tuple(specs), searches, tuning.study, only)
    plans = request.plan(out)
    storage = find_storage(tuning.storage, folder)
    budget = experiment.protocol.tune.budget
    sentence = f"tuning, studies: {len(plans)}, {budget} each, in {escape(storage)}"
    console.print(sentence, soft_wrap=True)
    print_warning(describe_network_disk(storage), console)
    with StudyDisplay(console, output, plans, executor.n_slots) as display:
        records = executor.search(request, storage, out, display.show)
    with hold_lock(folder / LOCK):  # workers that share the studies end at the same time
        tracker = Tracker(out, console=console)
        for plan, record in zip(plans, records, strict=True):
            tracker.send_study(record, plan.folder)
    print_tables(tuning_tables(records), console)
    for record in records:
        for edge in list_edges(record):
            hint = f"--search with a wider range and --study {tuning.study}wider-"
            console.print(f"[yellow]{escape(f'{edge} ({hint})')}[/]", soft_wrap=True)
        if record.best is None or record.given_up:
            sentence = f"{record.name}: {_describe_failure(record)} ({record.reasons})"
            console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    return records


def _describe_failure(record: StudyRecord) -> str:
    """Return what came of a study in which trials failed."""
    parts = []
    if record.given_up:
        n_trials = len(record.trials)
        parts.append(f"given up after {n_trials} trials, the last of which failed one by one")
    if record.best is None:
        parts.append("no trial has ended well, so the default stays")
    if record.given_up:
        parts.append("the same command tries again")
    return "; ".join(parts)


def _has_failed(record: StudyRecord) -> bool:
    if record.given_up:
        return True
    return record.best is None and record.trials[0].status != Status.SKIPPED
