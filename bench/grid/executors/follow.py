"""Folders as jobs: adopted if a job has them already, submitted, followed, submitted again.

No folder has two jobs: a command writes the name of the array into the folders before it submits
it, and looks for that name in the queue after it was killed. A job that finds another one named in
its folder ends at once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench.grid.attempt import ATTEMPT
from bench.grid.executors.endings import describe_final_end
from bench.grid.executors.ledger import (
    JOB_FILE,
    JOBS,
    Sign,
    Submission,
    make_token,
    measure_age_s,
    read_sign,
    read_submission,
    stamp_checkpoint,
    write_spec,
    write_submission,
)
from bench.grid.executors.queue import (
    ENDED,
    QUEUED,
    RUNNING,
    Job,
    Queue,
    QueueAwayError,
    QueueError,
)
from bench.run.interruption import end_if_asked
from datasets.files import make_folder
from datasets.locks import hold_lock

LOST = "lost"  # an end without a result that is not tried again
LOCK, BEAT = ".lock", "followed"  # files in the folder of jobs
NAME = "medtuning-"
LONGEST_ARRAY = 1000  # Slurm's default MaxArraySize is 1001

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often to look, and how long to wait, in seconds."""

    poll_s: float = 5.0
    settle_s: float = 15.0  # for the files of a job that the queue does not know any more
    submit_s: float = 30.0  # for a submission by a command that was killed meanwhile
    again_s: float = 60.0  # before a refused submission is tried again


@dataclass(frozen=True)
class Change:
    """What is new of a folder.

    Attributes:
        phase: QUEUED, RUNNING, ENDED (by itself) or LOST.
        job: as the queue sees it, if it still does.
        sign: what the job says of itself, if it has begun.
        reason: of LOST.
    """

    folder: Path
    phase: str
    job: Job | None = None
    sign: Sign | None = None
    reason: str = ""


@dataclass
class _Live:
    submission: Submission
    gone_at: float | None = None  # when the queue was first seen without it


class Dispatch:
    """Brings folders to a queue and follows their jobs."""

    def __init__(
        self,
        queue: Queue,
        out: Path,
        at_once: int | None,
        on_change: Callable[[Change], None],
        pace: Pace | None = None,
    ) -> None:
        self.queue = queue
        self.jobs = out / JOBS
        self.at_once = at_once
        self.on_change = on_change
        self.pace = pace or Pace()
        self.live: dict[Path, _Live] = {}
        self.waiting: dict[Path, Submission] = {}  # drafts of what is not submitted yet
        self.not_before = 0.0  # when a refused submission may be tried again
        self.is_away = False  # the queue did not answer
        make_folder(self.jobs)

    def start(self, specs: Mapping[Path, object], is_done: Callable[[Path], bool]) -> int:
        """Adopt the folders that a job has, submit the others; return how many were adopted.

        Args:
            specs: what to compute, a dataclass, by folder.
            is_done: whether a folder needs no job. A job may just have ended.

        Raises: QueueError, QueueAwayError.
        """
        self.beat()
        with hold_lock(self.jobs / LOCK):
            known = {folder: read_submission(folder) for folder in specs}
            begun = {folder: each for folder, each in known.items() if each is not None}
            found = self._find_jobs(begun)
            for folder, spec in specs.items():
                submission = known[folder]
                job = found.get(submission) if submission is not None else None
                if is_done(folder):
                    self.on_change(Change(folder, ENDED))
                    continue
                write_spec(folder, spec)
                if submission is None or self._has_ended(folder, submission):
                    self.waiting[folder] = Submission()
                elif job is not None and job.phase != ENDED:
                    self._adopt(folder, replace(submission, job_id=job.id))
                else:
                    if job is not None:
                        submission = replace(submission, job_id=job.id)
                    draft = submission.after_early_end(stamp_checkpoint(folder / ATTEMPT))
                    self.waiting[folder] = replace(draft, ends=0)
            n_adopted = len(self.live)
            self._submit()
        return n_adopted

    def follow(self) -> None:
        """Follow the jobs until all have ended; what ends too early is submitted again."""
        while self.live or self.waiting:
            end_if_asked()
            self.poll()
            if self.live or self.waiting:
                time.sleep(self.pace.poll_s)

    def poll(self) -> None:
        """Look once at the queue and the folders, and act."""
        self.beat()
        try:
            found = self._list([live.submission for live in self.live.values()])
        except QueueAwayError as error:
            if not self.is_away:
                log.warning("%s; jobs go on, and it is asked again", error)
            self.is_away = True
            return
        self.is_away = False
        for folder, live in list(self.live.items()):
            self._look(folder, live, found.get(live.submission))
        if self.waiting and time.monotonic() >= self.not_before:
            try:
                with hold_lock(self.jobs / LOCK):
                    self._take_over()
                    self._submit()
            except QueueAwayError as error:
                self._postpone(error)

    def cancel(self) -> None:
        """Cancel the jobs that are followed, and follow none."""
        numbers = [live.submission.job_id for live in self.live.values()]
        with suppress(QueueError, QueueAwayError):  # they end by themselves
            self.queue.cancel([number for number in numbers if number])
        self.live.clear()
        self.waiting.clear()

    def beat(self) -> None:
        """Show jobs that somebody follows, who submits them again after an interruption."""
        (self.jobs / BEAT).touch()

    def _look(self, folder: Path, live: _Live, job: Job | None) -> None:
        submission = live.submission
        if job is not None and job.phase == QUEUED:
            live.gone_at = None
            self.on_change(Change(folder, QUEUED, job))
            return
        sign = read_sign(folder, submission)
        if sign is not None and sign.ended:
            del self.live[folder]
            self.on_change(Change(folder, ENDED, job, sign))
        elif job is not None and job.phase == RUNNING:
            live.gone_at = None
            self.on_change(Change(folder, RUNNING, job, sign))
        elif live.gone_at is None:
            live.gone_at = time.monotonic()
        elif time.monotonic() - live.gone_at >= self.pace.settle_s:
            del self.live[folder]
            self._end_early(folder, submission, job, sign)

    def _end_early(
        self, folder: Path, submission: Submission, job: Job | None, sign: Sign | None
    ) -> None:
        """Draft the next job of a folder, or give it up."""
        draft = submission.after_early_end(stamp_checkpoint(folder / ATTEMPT))
        log_file = self.queue.find_log(submission.name, submission.job_id)
        reason = describe_final_end(folder, draft, job, sign, log_file)
        if reason:
            write_submission(folder, replace(submission, is_given_up=True))
            self.on_change(Change(folder, LOST, job, sign, reason))
        else:
            self.waiting[folder] = draft

    def _take_over(self) -> None:
        """Adopt what has a job after all. Needs the lock.

        Another command has submitted it meanwhile, or Slurm has taken a submission to which it did
        not answer.
        """
        found = self._list(self.waiting.values())
        for folder, draft in list(self.waiting.items()):
            current = read_submission(folder)
            job = found.get(draft)
            if job is not None and job.phase != ENDED:
                current = replace(draft, job_id=job.id)
            elif current is None or current.name == draft.name:
                continue
            del self.waiting[folder]
            self._adopt(folder, current)

    def _submit(self) -> None:
        """Submit the drafts for which there is room. Needs the lock."""
        while self.waiting:
            folders = list(self.waiting)[: min(self._count_room(), LONGEST_ARRAY)]
            if not folders:
                return
            name = NAME + make_token()
            drafts = []
            for index, folder in enumerate(folders):
                drafts.append(replace(self.waiting[folder], name=name, index=index))
                write_submission(folder, drafts[-1])
            self.waiting |= dict(zip(folders, drafts, strict=True))
            try:
                ids = self.queue.submit(folders, name, self.at_once)
            except QueueError as error:
                if not self.live:
                    for folder, draft in zip(folders, drafts, strict=True):
                        write_submission(folder, replace(draft, is_given_up=True))
                    raise
                self._postpone(error)
                return
            for folder, draft, job_id in zip(folders, drafts, ids, strict=True):
                submission = replace(draft, job_id=job_id)
                write_submission(folder, submission)
                del self.waiting[folder]
                self._adopt(folder, submission)

    def _postpone(self, error: ValueError) -> None:
        log.warning("%s; it is tried again in %g s", error, self.pace.again_s)
        self.not_before = time.monotonic() + self.pace.again_s

    def _count_room(self) -> int:
        """Return how many more may be submitted, so that no more than asked run at once."""
        sizes = Counter(live.submission.name for live in self.live.values())
        if self.at_once is None or not sizes:  # the queue itself limits an array
            return LONGEST_ARRAY
        n_places = sum(min(self.at_once, size) for size in sizes.values())
        return max(0, self.at_once - n_places)

    def _adopt(self, folder: Path, submission: Submission) -> None:
        self.live[folder] = _Live(submission)

    def _has_ended(self, folder: Path, submission: Submission) -> bool:
        sign = read_sign(folder, submission)
        return submission.is_given_up or (sign is not None and sign.ended)

    def _find_jobs(self, submissions: Mapping[Path, Submission]) -> dict[Submission, Job]:
        """Return the jobs of submissions, also of one that is still on its way to the queue."""
        found = self._list(submissions.values())
        for folder, submission in submissions.items():
            if submission.job_id or submission in found:
                continue
            if submission.is_given_up:
                continue
            left_s = self.pace.submit_s - measure_age_s(folder / JOB_FILE)
            if left_s > 0:  # its command was killed, and may have left it on its way
                time.sleep(left_s)
                return self._list(submissions.values())
        return found

    def _list(self, submissions: Collection[Submission]) -> dict[Submission, Job]:
        names = {each.name for each in submissions if each.name}
        if not names:
            return {}
        jobs = {(job.name, job.index): job for job in self.queue.list_jobs(names)}
        keys = {each: (each.name, each.index) for each in submissions}
        return {each: jobs[key] for each, key in keys.items() if key in jobs}
