"""A grid of runs as jobs of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from bench.grid.attempt import ATTEMPT, begin_attempt, end_attempt, record_death
from bench.grid.executors.follow import LOST, Change, Dispatch, Pace
from bench.grid.executors.job import PROBE, RunJob
from bench.grid.executors.ledger import JOBS, SIGN_FILE
from bench.grid.executors.node import describe_skew
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, Queue
from bench.grid.runner import FINISHED, Event, promote_finished_attempts
from bench.run.watch.progress import Stand, read_progress
from bench.specs.run import USUAL, Means, RunSpec, run_folder
from datasets.locks import try_lock
from reports.records.run import RunResult, Status, read_result


@dataclass(frozen=True)
class Cluster:
    """How runs become jobs.

    Attributes:
        queue: they are submitted to.
        device: ``--device``, chosen on the node.
        at_once: the most jobs that run at the same time; None: as the queue decides.
    """

    queue: Queue
    device: str = "auto"
    wants_gpu: bool = False
    means: Means = USUAL
    at_once: int | None = None
    pace: Pace | None = None


class GridOfJobs:
    """The runs of a command as jobs; their events are what the jobs' files tell."""

    def __init__(
        self,
        cluster: Cluster,
        specs: Sequence[RunSpec],
        out: Path,
        on_event: Callable[[Event], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.cluster = cluster
        self.out = out.resolve()
        self.on_event = on_event
        self.on_note = on_note  # takes a sentence for the user
        self.specs = {run_folder(self.out, spec): spec for spec in specs}
        self.begun: set[Path] = set()
        self.told: dict[Path, Stand] = {}
        self.noted: set[str] = set()
        self.held_since = inf  # by the clock of the disk
        at_once, pace = cluster.at_once, cluster.pace
        self.dispatch = Dispatch(cluster.queue, self.out, at_once, self._on_change, pace)

    def submit(self, *, force: bool) -> tuple[int, int]:
        """Adopt and submit; return how many jobs were adopted, and how many submitted.

        Raises: QueueError, QueueAwayError.
        """
        jobs = {}
        for folder, spec in self.specs.items():
            run = replace(spec, root=spec.root.resolve())
            cluster = self.cluster
            jobs[folder] = RunJob(
                self.out, cluster.device, cluster.wants_gpu, cluster.means, run=run
            )
        adopted = self.dispatch.start(jobs, lambda folder: not force and self._is_finished(folder))
        return adopted, len(self.dispatch.live) - adopted

    def _is_finished(self, folder: Path) -> bool:
        promote_finished_attempts([self.specs[folder]], self.out)
        result = read_result(folder)
        return result is not None and result.status in FINISHED

    def follow(self) -> None:
        """Follow the jobs until all have ended."""
        file = self.out / JOBS / PROBE
        probe = try_lock(file)
        if probe is not None:
            file.touch()
            self.held_since = file.stat().st_mtime
        try:
            self.dispatch.follow()
        finally:
            if probe is not None:
                probe.release()

    def _on_change(self, change: Change) -> None:
        spec = self.specs[change.folder]
        self._note_oddities(change)
        if change.phase == QUEUED:
            return
        if change.phase == RUNNING:
            self._pass_on_progress(change.folder, spec)
            return
        self._begin(change.folder, spec)
        result = read_result(change.folder) if change.phase == ENDED else None
        if result is None:
            result = _record_end(change, spec)
        self.on_event(Event(spec, "end", result=result))

    def _begin(self, folder: Path, spec: RunSpec) -> None:
        if folder not in self.begun:
            self.begun.add(folder)
            self.on_event(Event(spec, "start"))

    def _pass_on_progress(self, folder: Path, spec: RunSpec) -> None:
        stand = read_progress(folder / ATTEMPT)
        if stand is None:
            return
        self._begin(folder, spec)
        if stand != self.told.get(folder):
            self.told[folder] = stand
            self.on_event(Event(spec, stand.phase, stand))

    def _note_oddities(self, change: Change) -> None:
        """Say once what is wrong with a node, its disk or a job that waits for ever."""
        sign, job = change.sign, change.job
        if sign is not None:
            self._note(describe_skew(sign.node, sign.clock_offset_s))
            if sign.keeps_locks is False and self._began_under_probe(change):
                rule = "keeps no locks between machines: start one command at a time"
                self._note(f"{sign.node}: the disk with {self.out} {rule}")
        if job is not None and change.phase == QUEUED and "held" in job.reason.lower():
            self._note(f"job {job.id} is held by Slurm: {job.reason} (scontrol release {job.id})")

    def _began_under_probe(self, change: Change) -> bool:
        """Whether a job that goes on has begun while this command held its lock."""
        if change.phase != RUNNING:
            return False
        return (change.folder / SIGN_FILE).stat().st_mtime > self.held_since

    def _note(self, sentence: str) -> None:
        if sentence and sentence not in self.noted:
            self.noted.add(sentence)
            self.on_note(sentence)


def _record_end(change: Change, spec: RunSpec) -> RunResult:
    """Write and return the record of a run whose job has left none."""
    reason = change.reason if change.phase == LOST else "its job has left no result"
    attempt = change.folder / ATTEMPT
    if not attempt.is_dir():
        attempt = begin_attempt(change.folder)
    result = record_death(spec, attempt, Status.FAILED, reason)
    result.write(attempt)
    end_attempt(change.folder)
    return result
