"""Where runs are carried out: in processes of this command, or as jobs of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.cli.options import ComputeRequest, option
from bench.grid.executors.cluster import Cluster, GridOfJobs
from bench.grid.executors.job import carry_out_run
from bench.grid.executors.ledger import JOBS
from bench.grid.executors.options import read_slurm
from bench.grid.executors.slurm import SlurmQueue, check_slurm
from bench.grid.runner import Event, run_grid
from bench.grid.slots import Slots, choose_slots
from bench.specs.protocol import SpecError
from bench.specs.run import RunSpec

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True)
class ExecutorRequest:
    """Where to carry runs out, as it was typed."""

    executor: str = option(LOCAL, "local: processes of this command; slurm: a job for each run.")
    slurm: list[str] | None = option(
        None,
        "Options of sbatch, or a file of them: site.toml,partition=gpu,time=8:00:00 (repeatable).",
    )
    max_jobs: int | None = option(
        None, "Jobs that run at once; default: as Slurm decides.", at_least=1
    )


@dataclass(frozen=True)
class Watcher:
    """Who wants to know: of the events of runs, and of what is odd, in one sentence each."""

    on_event: Callable[[Event], None]
    on_note: Callable[[str], None]


class Executor(Protocol):
    """Carries out runs; results so far are on disk at any moment."""

    @property
    def goes_on(self) -> bool:
        """Whether runs go on when the command ends."""

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        """Carry out the runs, finished ones too if ``force``; each ends with an event."""


def check_executor(request: ExecutorRequest, compute: ComputeRequest, *, detach: bool) -> None:
    """Raise SpecError if the options of executors do not fit together."""
    if request.executor not in (LOCAL, SLURM):
        raise SpecError(f"--executor: must be {LOCAL} or {SLURM}, got '{request.executor}'")
    if request.executor == SLURM:
        if compute.jobs is not None:
            rule = "is for --executor local"
            raise SpecError(f"--jobs: {rule}, got {compute.jobs} (--max-jobs limits jobs of Slurm)")
        if compute.timeout is not None:
            rule = f"is for --executor local, got {compute.timeout}"
            raise SpecError(f"--timeout: {rule} (--slurm time=8:00:00 limits jobs of Slurm)")
        return
    given = {"--slurm": request.slurm, "--max-jobs": request.max_jobs, "--detach": detach or None}
    for name, value in given.items():
        if value is not None:
            raise SpecError(f"{name}: is for --executor slurm, got --executor local")


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this command."""

    slots: Slots
    goes_on: bool = False

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        run_grid(specs, out, self.slots, watcher.on_event, force=force)


@dataclass(frozen=True)
class ClusterExecutor:
    """Jobs of a cluster."""

    cluster: Cluster
    is_detached: bool = False
    goes_on: bool = True

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        grid = GridOfJobs(self.cluster, specs, out, watcher.on_event, watcher.on_note)
        adopted, submitted = grid.submit(force=force)
        watcher.on_note(describe_jobs(adopted, submitted))
        if not self.is_detached:
            grid.follow()


def choose_executor(
    request: ExecutorRequest,
    compute: ComputeRequest,
    out: Path,
    threads: int,
    *,
    detach: bool = False,
) -> LocalExecutor | ClusterExecutor:
    """Return the executor that was asked for. Raises: SpecError if it cannot be had here."""
    check_executor(request, compute, detach=detach)
    if request.executor == LOCAL:
        slots = choose_slots(
            compute.device, compute.jobs, compute.execution, threads, compute.timeout_s
        )
        return LocalExecutor(slots)
    options = read_slurm(request.slurm or ())
    check_slurm(options)
    queue = SlurmQueue((out / JOBS).resolve(), options, carry_out_run)
    cluster = Cluster(queue, compute.device, options.wants_gpu, compute.execution, request.max_jobs)
    return ClusterExecutor(cluster, is_detached=detach)


def describe_jobs(adopted: int, submitted: int) -> str:
    """Return in words how many jobs a command has found and made."""
    return f"Slurm: {submitted} jobs submitted, {adopted} adopted that were queued or running"
