"""Where runs and trials are carried out: in processes of this command, or as jobs of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.cli.options import ComputeRequest, option
from bench.grid.children import start_server
from bench.grid.executors.cluster import Cluster, GridOfJobs
from bench.grid.executors.job import carry_out_run
from bench.grid.executors.ledger import JOBS
from bench.grid.executors.options import SlurmOptions, read_slurm
from bench.grid.executors.slurm import SlurmQueue, check_slurm
from bench.grid.runner import Event, run_grid
from bench.grid.slots import Slots, choose_slots
from bench.specs.protocol import SpecError
from bench.specs.run import RunSpec
from bench.tuning.campaign import run_studies
from bench.tuning.jobs import StudyRequest, Workers, carry_out_worker
from bench.tuning.plan import TrialEvent
from reports.records.study import StudyRecord

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True)
class ExecutorRequest:
    """Where to carry runs out, as it was typed."""

    executor: str = option(LOCAL, "local: processes of this command; slurm: a job for each run.")
    slurm: list[str] | None = option(
        None, "Options of sbatch, or a file of them: site.toml,partition=gpu,time=8:00:00."
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
    """Carries out runs and trials; results so far are on disk at any moment."""

    @property
    def goes_on(self) -> bool:
        """Whether runs go on when the command ends."""

    @property
    def n_slots(self) -> int | None:
        """How many runs go on at once; None: as the cluster decides."""

    def get_ready(self) -> None:
        """Start what takes seconds and needs no data, in the background."""

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        """Carry out the runs, finished ones too if ``force``; each ends with an event."""

    def search(
        self, request: StudyRequest, storage: str, out: Path, on_event: Callable[[TrialEvent], None]
    ) -> list[StudyRecord]:
        """Work on the studies until each has spent its budget; return their records."""


@dataclass(frozen=True)
class LocalExecutor:
    """Processes of this command."""

    slots: Slots
    goes_on: bool = False

    @property
    def n_slots(self) -> int | None:
        return len(self.slots.devices)

    def get_ready(self) -> None:
        start_server()

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        run_grid(specs, out, self.slots, watcher.on_event, force=force)

    def search(
        self, request: StudyRequest, storage: str, out: Path, on_event: Callable[[TrialEvent], None]
    ) -> list[StudyRecord]:
        return run_studies(request.plan(out), storage, out, self.slots, on_event)


@dataclass(frozen=True)
class SlurmExecutor:
    """Jobs of Slurm.

    Attributes:
        n_workers: jobs that tune; None: one for each study.
        is_detached: leave when the jobs are submitted.
    """

    options: SlurmOptions
    compute: ComputeRequest
    max_jobs: int | None = None
    n_workers: int | None = None
    is_detached: bool = False
    goes_on: bool = True

    @property
    def n_slots(self) -> int | None:
        return self.max_jobs

    def get_ready(self) -> None:
        """Jobs import on their own machines."""

    def carry_out(
        self, specs: Sequence[RunSpec], out: Path, watcher: Watcher, *, force: bool
    ) -> None:
        cluster = self._build_cluster(out, carry_out_run)
        grid = GridOfJobs(cluster, specs, out, watcher.on_event, watcher.on_note)
        adopted, submitted = grid.submit(force=force)
        counts = f"{submitted} jobs submitted, {adopted} adopted that were queued or running"
        watcher.on_note(f"Slurm: {counts}")
        if not self.is_detached:
            grid.follow()

    def search(
        self, request: StudyRequest, storage: str, out: Path, on_event: Callable[[TrialEvent], None]
    ) -> list[StudyRecord]:
        cluster = self._build_cluster(out, carry_out_worker)
        n_workers = self.n_workers or len(request.plan(out))
        return Workers(cluster, request, storage, out.resolve(), on_event).run(n_workers)

    def _build_cluster(self, out: Path, function: Callable[[str], None]) -> Cluster:
        compute = self.compute
        return Cluster(
            SlurmQueue((out / JOBS).resolve(), self.options, function),
            compute.device,
            self.options.wants_gpu,
            compute.means,
            self.max_jobs,
        )


def choose_executor(
    request: ExecutorRequest,
    compute: ComputeRequest,
    threads: int,
    *,
    detach: bool = False,
    n_workers: int | None = None,
) -> LocalExecutor | SlurmExecutor:
    """Return the executor that was asked for. Raises: SpecError if it cannot be had here."""
    check_executor(request, compute, detach=detach, n_workers=n_workers)
    if request.executor == SLURM:
        options = _read_slurm(request, compute)
        check_slurm(options)
        return SlurmExecutor(options, compute, request.max_jobs, n_workers, is_detached=detach)
    return LocalExecutor(
        choose_slots(compute.device, compute.jobs, compute.means, threads, compute.timeout_s)
    )


def check_executor(
    request: ExecutorRequest,
    compute: ComputeRequest,
    *,
    detach: bool = False,
    n_workers: int | None = None,
) -> None:
    """Raise SpecError if the options do not fit together."""
    _ = compute.means
    if request.executor not in (LOCAL, SLURM):
        raise SpecError(f"--executor: must be {LOCAL} or {SLURM}, got '{request.executor}'")
    if request.executor == SLURM:
        if compute.jobs is not None:
            rule = "is for --executor local"
            raise SpecError(f"--jobs: {rule}, got {compute.jobs} (--max-jobs limits jobs of Slurm)")
        if compute.timeout is not None:
            rule = f"is for --executor local, got {compute.timeout}"
            raise SpecError(f"--timeout: {rule} (--slurm time=8:00:00 limits jobs of Slurm)")
        _read_slurm(request, compute)
        return
    given = {
        "--slurm": request.slurm,
        "--max-jobs": request.max_jobs,
        "--detach": detach or None,
        "--workers": n_workers,
    }
    for name, value in given.items():
        if value is not None:
            raise SpecError(f"{name}: is for --executor slurm, got --executor local")


def _read_slurm(request: ExecutorRequest, compute: ComputeRequest) -> SlurmOptions:
    """Return the options for Slurm. Raises: SpecError if they lack the GPUs of a run."""
    options = read_slurm(request.slurm or (), compute.devices)
    if compute.devices > 1 and compute.device != "cpu" and not options.wants_gpu:
        rule = f"{compute.devices} GPUs for each run need gpus_per_node={compute.devices}"
        raise SpecError(f"--devices: {rule} in --slurm, got none")
    return options
