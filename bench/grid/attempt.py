"""An attempt at a run works in a folder of its own; the results before it stay until it has ended.

    <run>/             result.json, delta.safetensors, ... of the attempt that ended last
    <run>/attempt/     what is being computed, with checkpoints to go on from
    <run>/previous/    what was done before it was repeated
    <run>/run.log      what the processes of all attempts have printed
    <run>/*.json       of `bench.grid.executors.ledger`, if a cluster works on the run
    <run>/lock         held by the command that works on the run; all below needs it

Every step can be cut off and taken up again: ``result.json`` is written last, and moved last.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.grid.executors.ledger import KEPT
from bench.run.firewall import READS_FILE, count_reads, read_selection
from bench.run.provenance import describe_run
from bench.run.resume.folder import KEPT as RESUMABLE
from bench.run.resume.folder import count_resumptions, remove_checkpoints
from bench.run.watch.log_file import LOG_FILE
from bench.specs.run import RunSpec
from datasets.files import FileError, make_folder, read_record, sync_folder, write_durably
from reports.records.run import RESULT_FILE, RunResult, Status

ATTEMPT, PREVIOUS = "attempt", "previous"


@dataclass(frozen=True)
class _Ended:
    """The field that results of all schema versions have."""

    status: Any = None


def begin_attempt(folder: Path) -> Path:
    """Return a new folder for an attempt at a run.

    It is empty but for the count of test reads, and the checkpoints of an attempt that was cut off
    or has failed.
    """
    attempt, reads = folder / ATTEMPT, folder / READS_FILE
    for name in (READS_FILE, *RESUMABLE):  # of an attempt that was cut off, and of those before it
        if (attempt / name).is_file():
            (attempt / name).replace(folder / name)
    shutil.rmtree(attempt, ignore_errors=True)
    make_folder(attempt)
    if reads.is_file():
        write_durably(attempt / READS_FILE, reads.read_bytes())
    for name in RESUMABLE:
        if (folder / name).is_file():
            (folder / name).replace(attempt / name)
    return attempt


def end_attempt(folder: Path) -> None:
    """Put a finished attempt, if any, in the place of the one before, which is kept if done."""
    attempt = folder / ATTEMPT
    if not (attempt / RESULT_FILE).is_file():
        return
    if _read_status(attempt / RESULT_FILE) != Status.FAILED:  # a failed run is repeated
        remove_checkpoints(attempt)
    if (folder / RESULT_FILE).is_file():
        _clear(folder)
    *others, result = _result_last(attempt)
    for path in others:
        _move(path, folder)
    sync_folder(folder)  # the result tells that the others are in their place
    _move(result, folder)
    sync_folder(folder)
    attempt.rmdir()


def record_death(spec: RunSpec, attempt: Path, status: Status, reason: str) -> RunResult:
    """Return the record of a run whose process has left none, with what its files still tell."""
    record = replace(describe_run(spec), status=status, reason=reason)
    try:
        selection = read_selection(attempt)
    except FileError:  # the process has died, and its files with it
        selection = None
    chosen = selection.chosen_sha256 if selection else ""
    return replace(
        record,
        chosen_sha256=chosen,
        test_reads=count_reads(attempt),
        interruptions=count_resumptions(attempt),
    )


def _clear(folder: Path) -> None:
    was_done = _read_status(folder / RESULT_FILE) == Status.DONE
    previous = folder / PREVIOUS
    for path in _result_last(folder):
        if path.name in (ATTEMPT, PREVIOUS, READS_FILE, LOG_FILE, *KEPT):
            continue
        if was_done:
            previous.mkdir(exist_ok=True)
            _move(path, previous)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _result_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: (path.name == RESULT_FILE, path.name))


def _move(source: Path, folder: Path) -> None:
    target = folder / source.name
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _read_status(file: Path) -> Any:
    """Return the status in a result of any schema version, or None if it is damaged."""
    try:
        return read_record(file, _Ended, "the file is damaged").status
    except ValueError:
        return None
