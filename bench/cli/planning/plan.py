"""The command `plan`: the runs that `run` would make, and what they would cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from bench.cli.display.session import Session
from bench.cli.display.words import describe_spec
from bench.cli.jobs.compiler import check_compile
from bench.cli.jobs.executor import LOCAL, SLURM, ExecutorRequest, check_executor
from bench.cli.options import ComputeRequest, Request, TuneRequest, flag, option, takes
from bench.cli.request import lay_out_runs
from bench.cli.run import RunOptions, check_devices, read_run
from bench.cli.terminal import add_columns
from bench.grid.bill.ready import Ready
from bench.grid.plan import Experiment, Plan
from bench.grid.runner import split_finished
from bench.grid.slots import choose_slots
from bench.specs.protocol import SpecError
from bench.specs.run import RUNS, RunSpec
from bench.tuning.tuned_values import apply_file, apply_tuned, best_values, find_studies
from reports.formats.terminal import SafeConsole, escape
from reports.records.text import count

commands = typer.Typer()
SIZES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True)
class PlanOptions(RunOptions):
    """What to tell of a plan, as it was typed."""

    cost: bool = flag("Predict time, memory and disk of every run; what is not known is probed.")
    largest_patch: str | None = option(
        None, "Find the largest patch and batch of each method that fit into 24GB or so."
    )


@commands.command()
@takes(Request, ComputeRequest, ExecutorRequest, TuneRequest, PlanOptions)
def plan(
    request: Request,
    compute: ComputeRequest,
    executor: ExecutorRequest,
    tuning: TuneRequest,
    options: PlanOptions,
) -> None:
    """List the runs that `run` would make with the same arguments, done and to do.

    Nothing is written but the cache below --out.

    --cost predicts from runs that are done. A run that none of them is like is probed on this
    machine: a few training steps and one validation case.
    """
    options.check()
    limit = read_memory(options.largest_patch) if options.largest_patch is not None else None
    console = SafeConsole()
    by_forks = options.cost or limit is not None
    experiment = read_run(request, tuning, options, by_forks=by_forks)
    check_devices(experiment, compute, tunes=options.tune > 0)
    check_executor(executor, compute, detach=options.detach)
    check_compile(compute, experiment.methods, executor.executor)
    n_slots = _count_slots(experiment, compute, executor)
    laid_out = lay_out_runs(_without_writing(experiment), console, options)
    specs = _choose_values(laid_out, experiment, tuning, options)
    finished, to_do = split_finished(specs, experiment.out)
    if options.force:
        to_do = list(specs)
    plan = replace(laid_out, runs=tuple(specs))
    if limit is not None:
        from bench.cli.planning.largest import print_largest  # imports torch

        print_largest(plan, compute.execution, limit, console)
    if options.cost:
        from bench.cli.planning.bill import print_bill  # imports torch

        jobs = compute.jobs if executor.executor == LOCAL else 1
        threads = experiment.protocol.train.threads
        if compute.devices > 1:
            console.print(
                f"--devices {compute.devices}: the cost is predicted for one device a run"
            )
        means = replace(compute.means, n_devices=1)  # of a probe
        slots = choose_slots(compute.device, jobs, means, threads, compute.timeout_s)
        ready = Ready(plan, finished, to_do, experiment.out, slots)
        searches = tuning if options.tune else None
        print_bill(ready, n_slots, searches, Session("plan", options, console))
    if limit is None and not options.cost:
        ended = [] if options.force else finished
        states = {spec.run_id: result.status.value for spec, result in ended}
        _print_states(specs, states, experiment.out, console)


def read_memory(text: str) -> int:
    """Return the bytes of a size such as ``24GB`` or ``23.5GiB``. Raises: SpecError."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(MB|GB|MiB|GiB)", text, re.ASCII)
    if match is None or float(match[1]) == 0:
        rule = "must be a size such as 24GB, 800MB or 23.5GiB"
        raise SpecError(f"--largest-patch: {rule}, got '{text:.60}'")
    return int(float(match[1]) * SIZES[match[2]])


def _count_slots(
    experiment: Experiment, compute: ComputeRequest, executor: ExecutorRequest
) -> int | None:
    """Return how many runs would go on at once; None: as Slurm decides."""
    if executor.executor == SLURM:
        return executor.max_jobs
    threads = experiment.protocol.train.threads
    slots = choose_slots(compute.device, compute.jobs, compute.means, threads)
    return len(slots.devices)


def _without_writing(experiment: Experiment) -> Experiment:
    """Return the experiment with phantoms that are not written yet in the cache."""
    if experiment.phantom is None:
        return experiment
    cache = experiment.out / "cache" / "phantoms"
    roots = {}
    for name, root in experiment.roots.items():
        roots[name] = root if root.is_dir() else cache / name
    return replace(experiment, roots=roots)


def _choose_values(
    plan: Plan, experiment: Experiment, tuning: TuneRequest, options: RunOptions
) -> Sequence[RunSpec]:
    """Return the runs with the values that are known; what is to be tuned has its defaults."""
    if options.settings is not None:
        return apply_file(plan.runs, options.settings)
    if options.tuned:
        records = find_studies(plan.runs, experiment.out, tuning.study)
        return apply_tuned(plan.runs, [best_values(record) for record in records])
    return plan.runs


def _print_states(
    specs: Sequence[RunSpec], states: dict[str, str], out: Path, console: Console
) -> None:
    n_done = len(states)
    where = f"{count(len(specs), 'run')} in {escape(out / RUNS)}"
    title = f"{where}: {n_done} done, {len(specs) - n_done} to do"
    table = add_columns(Table(title=title), ("run", "state", "folder"))
    for spec in specs:
        state = states.get(spec.run_id, "to do")
        table.add_row(describe_spec(spec), state, escape(spec.run_id))
    console.print(table)
