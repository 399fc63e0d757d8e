"""A job: it looks at its folder, says that it has begun, computes, and says that it has ended.

submitit starts a function of this module on the node. Its only argument is the folder.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bench.grid.executors.follow import BEAT
from bench.grid.executors.ledger import (
    JOBS,
    LOCK,
    Sign,
    Submission,
    measure_age_s,
    read_sign,
    read_spec,
    read_submission,
    write_sign,
)
from bench.grid.executors.node import (
    choose_device,
    measure_clock_offset_s,
    sees_lock,
    show_given_gpus,
)
from bench.grid.slots import choose_data_workers
from bench.run.interruption import EXIT_INTERRUPTED, interruptible
from bench.specs.protocol import SpecError
from bench.specs.run import USUAL, Means, Place, RunSpec
from datasets.locks import hold_lock
from reports.records.run import RESULT_FILE

PROBE = ".held"  # in the folder of jobs; locked while a command follows
FOLLOWED_S = 120.0  # a command that was silent for so long follows no more
T = TypeVar("T", bound="JobSpec")


@dataclass(frozen=True)
class JobSpec:
    """What every job needs to know.

    Attributes:
        out: ``--out``.
        device: ``--device``.
        wants_gpu: the options for Slurm ask for a GPU.
        means: of each run.
    """

    out: Path
    device: str = "auto"
    wants_gpu: bool = False
    means: Means = USUAL


@dataclass(frozen=True, kw_only=True)
class RunJob(JobSpec):
    """A job that carries out a run."""

    run: RunSpec


def carry_out_run(folder: str) -> None:
    """Carry out the run of a folder."""
    work_in(Path(folder), RunJob, _compute_run)


def work_in(
    folder: Path, kind: type[T], compute: Callable[[Path, T, str | SpecError], str]
) -> None:
    """Do the work of a folder, unless another job has it.

    ``compute`` takes the folder, its spec and the device, or why there is none; it returns what
    keeps it from working, or nothing. A signal ends the job with `EXIT_INTERRUPTED`; if no command
    follows, Slurm is asked to start it again.
    """
    spec = read_spec(folder, kind)
    submission = read_submission(folder)
    job_id = find_job_id()
    if submission is None or not _has_folder(submission, job_id):
        print(f"{folder}: another job has it", flush=True)  # noqa: T201
        return
    jobs = spec.out / JOBS
    try:
        with interruptible(), hold_lock(folder / LOCK):  # a process may have outlived its job
            if _has_ended(folder, submission):
                return
            sign = _begin_sign(folder, submission, job_id, jobs)
            write_sign(folder, sign)
            problem = compute(folder, spec, _find_device(spec))
            write_sign(folder, replace(sign, ended=True, problem=problem))
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED and not is_followed(jobs):
            _requeue(job_id)
        raise


def find_job_id() -> str:
    """Return the id of the job that this process is in, as `Submission` has it."""
    from submitit import JobEnvironment

    return str(JobEnvironment().job_id)


def is_followed(jobs: Path) -> bool:
    """Return whether a command follows the jobs, by the clock of the disk."""
    try:
        return measure_age_s(jobs / BEAT) < FOLLOWED_S
    except OSError:
        return False


def _has_folder(submission: Submission, job_id: str) -> bool:
    if submission.job_id:
        return submission.job_id == job_id
    own = os.environ.get("SLURM_JOB_NAME", submission.name)
    return own == submission.name


def _has_ended(folder: Path, submission: Submission) -> bool:
    sign = read_sign(folder, submission)
    return sign is not None and sign.ended


def _begin_sign(folder: Path, submission: Submission, job_id: str, jobs: Path) -> Sign:
    from bench.run.firewall import read_clock

    return Sign(
        round=submission.round,
        job_id=job_id,
        node=socket.gethostname(),
        pid=os.getpid(),
        started_at=read_clock(),
        clock_offset_s=measure_clock_offset_s(folder),
        keeps_locks=sees_lock(jobs / PROBE) if is_followed(jobs) else None,
    )


def _find_device(spec: JobSpec) -> str | SpecError:
    """Return the device of the job, or why there is none."""
    if spec.device == "cpu":
        return "cpu"
    os.environ.update(show_given_gpus(os.environ))
    import torch  # looks at the environment when it counts

    try:
        n_gpus = torch.cuda.device_count()
        return choose_device(
            spec.device, n_gpus, wants_gpu=spec.wants_gpu, n_devices=spec.means.n_devices
        )
    except SpecError as error:
        return error


def _compute_run(folder: Path, spec: RunJob, device: str | SpecError) -> str:
    from bench.grid.attempt import ATTEMPT, begin_attempt, end_attempt
    from bench.grid.executors.ranks import execute_together
    from bench.run.execute import execute_run
    from bench.run.provenance import describe_run
    from bench.run.watch.log_file import LOG_FILE, output_in

    if (folder / ATTEMPT / RESULT_FILE).is_file():  # of a job that died when it had just ended
        end_attempt(folder)
        return ""
    attempt = begin_attempt(folder)
    if isinstance(device, SpecError):
        replace(describe_run(spec.run), reason=str(device)).write(attempt)
    else:
        cache = spec.out / "cache"
        place = Place(attempt, cache, device, choose_data_workers(spec.means, device, 1))
        execute = execute_run if spec.means.n_devices == 1 else execute_together
        with output_in(folder / LOG_FILE):
            execute(spec.run, place, lambda phase, stand: None)
    end_attempt(folder)
    return ""  # the result tells


def _requeue(job_id: str) -> None:
    """Ask Slurm to start this job again; where that fails, the next command submits it."""
    try:
        subprocess.run(["scontrol", "requeue", job_id], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"not requeued: {error}", file=sys.stderr, flush=True)  # noqa: T201
