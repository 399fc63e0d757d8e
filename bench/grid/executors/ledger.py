"""What a command and a job tell each other, through files in the folder that both see.

    <folder>/spec.json    what to compute; written before the job is submitted
    <folder>/job.json     by the command: the job that has the folder
    <folder>/sign.json    by the job: that it has begun, on which node, and that it has ended

The folder is that of a run, or of a worker that tunes. These files and ``result.json`` are the
truth. What Slurm says is only asked for jobs that have not ended by themselves.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from bench.run.resume.folder import CHECKPOINT_FILE, PREVIOUS_FILE
from datasets.files import FileError, adapter_of, read_record, write_durably

T = TypeVar("T")

SPEC_FILE, JOB_FILE, SIGN_FILE = "spec.json", "job.json", "sign.json"
LOCK = "lock"  # held by the process that works in the folder
KEPT = (SPEC_FILE, JOB_FILE, SIGN_FILE, LOCK)  # are no part of an attempt
JOBS = "jobs"  # folder below ``--out``: what is submitted together has a folder in it
DAMAGED = "remove it; the run is then submitted again"


def make_token() -> str:
    """Return a short text that no other command has made."""
    return uuid4().hex[:10]


@dataclass(frozen=True)
class Submission:
    """The job that has a folder.

    Attributes:
        name: of the array, chosen before Slurm gives it a number.
        index: place in the array.
        job_id: Slurm's, such as "123_4"; empty if the command died before it knew.
        round: equal for all jobs that work on one attempt.
        ends: jobs in a row that ended too early and left no newer checkpoint.
        checkpoint: what `stamp_checkpoint` returned at the last early end.
        past: ids of the jobs before this one.
        is_given_up: there is no next job of this attempt.
    """

    name: str = ""
    index: int = 0
    job_id: str = ""
    round: str = field(default_factory=make_token)
    ends: int = 0
    checkpoint: str = ""
    past: tuple[str, ...] = ()
    is_given_up: bool = False

    def after_early_end(self, checkpoint: str) -> "Submission":
        """Return the draft of the next job of this attempt."""
        is_further = checkpoint != self.checkpoint
        past = (*self.past, self.job_id)
        ends = 1 if is_further else self.ends + 1
        return replace(self, job_id="", ends=ends, checkpoint=checkpoint, past=past)


@dataclass(frozen=True)
class Sign:
    """What a job says of itself.

    Attributes:
        round: of the `Submission`.
        node: name of the machine.
        clock_offset_s: the node's clock less that of the file server; None: not known.
        keeps_locks: whether a lock of the command is seen on the node; None: not tried.
        ended: the job has done its work; False also after a kill or an interruption.
        problem: why there was nothing that it could do, in one sentence.
    """

    round: str
    job_id: str
    node: str
    pid: int
    started_at: str
    clock_offset_s: float | None = None
    keeps_locks: bool | None = None
    ended: bool = False
    problem: str = ""


def write_spec(folder: Path, spec: object) -> None:
    """Write what the job of a folder is to compute, a dataclass."""
    write_durably(folder / SPEC_FILE, adapter_of(type(spec)).dump_json(spec, indent=1))


def read_spec(folder: Path, kind: type[T]) -> T:
    """Return what the job of a folder is to compute. Raises: FileError, OSError."""
    return read_record(folder / SPEC_FILE, kind, DAMAGED)


def write_submission(folder: Path, submission: Submission) -> None:
    """Write which job has a folder."""
    write_durably(folder / JOB_FILE, json.dumps(asdict(submission)))


def read_submission(folder: Path) -> Submission | None:
    """Return which job has a folder. Raises: FileError if the file is damaged."""
    return _read(folder / JOB_FILE, Submission)


def write_sign(folder: Path, sign: Sign) -> None:
    """Write what a job says of itself."""
    write_durably(folder / SIGN_FILE, json.dumps(asdict(sign)))


def read_sign(folder: Path, submission: Submission) -> Sign | None:
    """Return the sign of a submission's attempt, or None if there is none or an older one."""
    try:
        sign = _read(folder / SIGN_FILE, Sign)
    except FileError:
        return None
    return sign if sign is not None and sign.round == submission.round else None


def stamp_checkpoint(attempt: Path) -> str:
    """Return a text that changes with each checkpoint of an attempt; empty: there is none."""
    stamps = []
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        file = attempt / name
        try:
            found = file.stat()
        except FileNotFoundError:
            continue
        stamps.append(f"{file.name}:{found.st_mtime_ns}:{found.st_size}")
    return " ".join(sorted(stamps))


def measure_age_s(file: Path) -> float:
    """Return how old a file is by the clock of the disk that it is on."""
    probe = file.with_name(f".{os.getpid()}.clock")
    try:
        probe.touch()
        return probe.stat().st_mtime - file.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return read_record(file, kind, DAMAGED)
    except FileNotFoundError:
        return None
