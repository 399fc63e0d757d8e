"""Tuning by workers on a cluster: one a job, each on all studies until no trial is left for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.grid.executors.follow import LOST, Change, Dispatch
from bench.grid.executors.job import JobSpec, work_in
from bench.grid.executors.queue import ENDED
from bench.grid.slots import Slots
from bench.run.interruption import end_if_asked
from bench.run.watch.progress import Stand, read_progress
from bench.specs.protocol import SpecError
from bench.specs.run import RunSpec
from bench.tuning.campaign import Crew, begin_studies, record_studies
from bench.tuning.plan import StudyPlan, TrialEvent, plan_studies
from bench.tuning.served import is_shared
from bench.tuning.study import is_done, list_ended, open_study, read_trials, storage_errors
from reports.records.study import RUNNING, TUNING, StudyRecord

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from bench.grid.executors.cluster import Cluster

WORKERS = "workers"  # folder of the workers' folders


@dataclass(frozen=True)
class StudyRequest:
    """What `plan_studies` makes the studies of."""

    specs: tuple[RunSpec, ...]
    searches: tuple[str, ...] = ()
    prefix: str = ""
    only: tuple[str, ...] = ()

    def plan(self, out: Path) -> list[StudyPlan]:
        """Return the studies, in their order."""
        return plan_studies(self.specs, out, self.searches, self.prefix, self.only)


@dataclass(frozen=True, kw_only=True)
class WorkerJob(JobSpec):
    """A job that works on studies.

    Attributes:
        storage: address of the studies.
        turn: number of the study that it begins with.
    """

    studies: StudyRequest
    storage: str
    turn: int = 0


def carry_out_worker(folder: str) -> None:
    """Work on the studies that a folder names."""
    work_in(Path(folder), WorkerJob, _work)


def _work(folder: Path, spec: WorkerJob, device: str | SpecError) -> str:
    if isinstance(device, SpecError):
        return str(device)
    plans = spec.studies.plan(spec.out)
    first = spec.turn % len(plans)
    slots = Slots((device,), spec.means)
    crew = Crew(spec.storage, spec.out, slots, lambda event: None)
    for plan in [*plans[first:], *plans[:first]]:
        crew.work_for_others(plan, device)
    return ""


def check_shared(storage: BaseStorage, address: str) -> None:
    """Raise SpecError if workers on several machines cannot share a storage."""
    if not is_shared(storage):
        rule = "workers of Slurm need --storage serve, grpc://HOST:PORT or a database server"
        raise SpecError(f"--storage: {rule}, got {address}")


@dataclass(frozen=True)
class _Watched:
    plan: StudyPlan
    study: Study
    before: frozenset[int]  # trials that had ended when the command began

    def is_done(self) -> bool:
        return is_done(self.study, self.plan, self.before)


@dataclass
class Workers:
    """The workers of a command, which it follows until the studies are done.

    Attributes:
        cluster: to whose queue they are submitted.
        request: what they work on.
        storage: address of the studies.
        on_event: called when a trial has begun or ended, whoever works on it.
    """

    cluster: Cluster
    request: StudyRequest
    storage: str
    out: Path
    on_event: Callable[[TrialEvent], None]
    # What was passed on of a study's trial.
    told: dict[tuple[str, int], tuple[str, Stand | None]] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)  # why workers could not work

    def run(self, n_workers: int) -> list[StudyRecord]:
        """Keep workers at work until each study has spent its budget; return the records.

        Raises: SpecError if the storage cannot be used, a study has changed or no worker can work.
        """
        plans = self.request.plan(self.out)
        opened = begin_studies(plans, self.storage, self.out)
        check_shared(opened, self.storage)
        watched = []
        for plan in plans:
            study = open_study(opened, plan)
            watched.append(_Watched(plan, study, list_ended(study)))
        cluster = self.cluster
        dispatch = Dispatch(cluster.queue, self.out, None, self._on_change, cluster.pace)
        with storage_errors(self.storage):
            while self._report(watched):
                end_if_asked()
                if not dispatch.live and not dispatch.waiting:
                    self._hire(dispatch, n_workers)
                dispatch.poll()
                time.sleep(dispatch.pace.poll_s)
        dispatch.cancel()
        return record_studies(plans, opened)

    def _report(self, watched: Sequence[_Watched]) -> bool:
        """Pass on what is new of the trials; return whether a study is left to do."""
        for each in watched:
            for trial in read_trials(each.study):
                key = (each.plan.name, trial.number)
                stand = None
                if trial.status == RUNNING:
                    stand = read_progress(each.plan.trial_folder(trial.number))
                if self.told.get(key) != (trial.status, stand):
                    self.told[key] = (trial.status, stand)
                    self.on_event(TrialEvent(each.plan, trial, stand=stand))
        return not all(each.is_done() for each in watched)

    def _hire(self, dispatch: Dispatch, n_workers: int) -> None:
        """Submit the workers. Raises: SpecError if those before could not work."""
        if self.obstacles:
            raise SpecError(f"tune: no worker is left: {self.obstacles[-1]}")
        jobs = {}
        for turn in range(n_workers):
            cluster = self.cluster
            jobs[self.out / TUNING / WORKERS / str(turn)] = WorkerJob(
                self.out,
                cluster.device,
                cluster.wants_gpu,
                cluster.means,
                studies=self.request,
                storage=self.storage,
                turn=turn,
            )
        dispatch.start(jobs, lambda folder: False)

    def _on_change(self, change: Change) -> None:
        if change.phase == LOST:
            self.obstacles.append(change.reason)
        if change.phase == ENDED and change.sign is not None and change.sign.problem:
            self.obstacles.append(change.sign.problem)
