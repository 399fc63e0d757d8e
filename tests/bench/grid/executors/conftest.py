"""A queue in memory, whose jobs end as a test says."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench.grid.executors import ledger
from bench.grid.executors.follow import Pace
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, Job, QueueAwayError, QueueError

FAST = Pace(poll_s=0.0, settle_s=0.0, submit_s=0.0, again_s=0.0)


@dataclass
class FakeQueue:
    """Knows every job that was ever submitted; `step` is called at each look."""

    folder: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    submitted: Counter = field(default_factory=Counter)
    arrays: list = field(default_factory=list)
    is_away: bool = False
    refusal: str = ""
    dies_after_submit: bool = False
    most_alive: int = 0

    def submit(self, folders, name, at_once):
        if self.refusal:
            raise QueueError(self.refusal)
        number = len(self.arrays) + 1
        self.arrays.append((name, len(folders), at_once))
        ids = [f"{number}_{index}" for index in range(len(folders))]
        for index, (job_id, folder) in enumerate(zip(ids, folders, strict=True)):
            assert not self.has_job(folder), f"{folder} has two jobs"
            self.submitted[folder] += 1
            self.folders[job_id] = folder
            self.jobs[job_id] = Job(job_id, name, index, QUEUED, "PENDING")
        if self.dies_after_submit:
            raise KeyboardInterrupt
        return ids

    def list_jobs(self, names):
        if self.is_away:
            raise QueueAwayError("Slurm does not answer")
        return [job for job in self.jobs.values() if job.name in names]

    def find_log(self, name, job_id):
        return self.folder / f"{job_id}.out"

    def has_job(self, folder):
        jobs = [job for id_, job in self.jobs.items() if self.folders[id_] == folder]
        return any(job.phase != ENDED for job in jobs)

    def start(self, job_id):
        self.jobs[job_id] = replace(self.jobs[job_id], phase=RUNNING, word="RUNNING", node="n1")
        folder = self.folders[job_id]
        self.sign(folder, job_id, ended=False)
        self.find_log("", job_id).touch()

    def end(self, job_id, word="COMPLETED", *, by_itself=True):
        if by_itself:
            self.sign(self.folders[job_id], job_id, ended=True)
        self.jobs[job_id] = replace(self.jobs[job_id], phase=ENDED, word=word)

    def sign(self, folder, job_id, *, ended):
        own = ledger.read_submission(folder)
        sign = ledger.Sign(own.round, job_id, "n1", 1, "2026-01-01T00:00:00+00:00", ended=ended)
        ledger.write_sign(folder, sign)


@pytest.fixture
def queue(tmp_path):
    return FakeQueue(tmp_path)
