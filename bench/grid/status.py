"""The state of every run below ``--out``, from files alone, with any executor."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.grid.attempt import ATTEMPT
from bench.grid.executors.ledger import read_sign, read_submission
from bench.run.watch.progress import Stand, describe_phase, format_time, read_progress
from bench.specs.run import RUNS
from reports.records.run import RunResult, Status, read_result
from reports.records.text import shorten_text

TO_DO, QUEUED, RUNNING, SILENT, DAMAGED = "to do", "queued", "running", "silent", "damaged"
SILENT_S = 900.0  # after which a run on another machine is taken for dead


@dataclass(frozen=True)
class RunState:
    """A run, as its files tell: a word of this module or a `Status`, and what more is known."""

    run_id: str
    state: str
    detail: str = ""


def read_states(out: Path, run_ids: Sequence[str]) -> list[RunState]:
    """Return the states of these runs, and of all others that have a folder."""
    found = sorted(folder.name for folder in (out / RUNS).glob("*") if folder.is_dir())
    every = dict.fromkeys([*run_ids, *found])
    return [read_state(out / RUNS / run_id) for run_id in every]


def read_state(folder: Path) -> RunState:
    """Return the state of the run of a folder; what goes on counts before what has ended."""
    try:
        stand = read_progress(folder / ATTEMPT)
        if stand is not None:
            return _describe_attempt(folder, stand)
        if (queued := _describe_job(folder)) is not None:
            return queued
        result = read_result(folder)
    except (ValueError, OSError) as error:
        return RunState(folder.name, DAMAGED, shorten_text(str(error)))
    if result is None:
        return RunState(folder.name, TO_DO)
    return RunState(folder.name, result.status.value, _describe_result(result))


def _describe_attempt(folder: Path, stand: Stand) -> RunState:
    where = f"{describe_phase(stand)} on {stand.node}"
    if not _is_alive(folder / ATTEMPT, stand):
        return RunState(folder.name, SILENT, f"ended early at {where}: it is repeated or goes on")
    if stand.left_s is not None:
        where += f", ETA {format_time(stand.left_s)}"
    return RunState(folder.name, RUNNING, where)


def _is_alive(attempt: Path, stand: Stand) -> bool:
    """Whether the process is there; of another machine, whether it has written anything lately."""
    if stand.node == socket.gethostname():
        return psutil.pid_exists(stand.pid)
    newest = 0.0
    for file in attempt.iterdir():
        with suppress(FileNotFoundError):  # replaced at this moment
            newest = max(newest, file.stat().st_mtime)
    return time.time() - newest < SILENT_S


def _describe_job(folder: Path) -> RunState | None:
    """Return the state of a run that is a job and has not begun, or None."""
    submission = read_submission(folder)
    if submission is None or submission.is_given_up:
        return None
    sign = read_sign(folder, submission)
    if sign is not None and sign.ended:
        return None
    job = f"job {submission.job_id}" if submission.job_id else "its job is being submitted"
    if submission.past:
        job += f", after {len(submission.past)} that ended early"
    return RunState(folder.name, QUEUED, job)


def _describe_result(result: RunResult) -> str:
    if result.status is Status.DONE:
        return ""
    return shorten_text(result.reason)
