"""An attempt at a run works in a folder of its own, so that what the last one has left stays until this one has ended.

    <run>/             result.json, delta.safetensors, ... of the attempt that ended last
    <run>/attempt/     what is being computed
    <run>/previous/    what was done before it was repeated

Every step can be cut off and taken up again: ``result.json`` comes last into an attempt, and moves
last.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.run.firewall import READS_FILE
from reports.records.files import write_durably
from reports.records.run import RESULT_FILE, Status

ATTEMPT, PREVIOUS = "attempt", "previous"


def begin_attempt(folder: Path) -> Path:
    """Return a new folder for an attempt at the run of ``folder``, empty but for the count of test reads."""
    attempt = folder / ATTEMPT
    reads = folder / READS_FILE
    if (
        attempt / READS_FILE
    ).is_file():  # of an attempt that was cut off; it holds the earlier ones as well
        (attempt / READS_FILE).replace(reads)
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(parents=True)
    if reads.is_file():
        write_durably(attempt / READS_FILE, reads.read_text())
    return attempt


def end_attempt(folder: Path) -> None:
    """Let the attempt that has ended take the place of the one before, which is kept if it was done.

    Does nothing where no attempt has ended.
    """
    attempt = folder / ATTEMPT
    if not (attempt / RESULT_FILE).is_file():
        return
    if (folder / RESULT_FILE).is_file():
        _clear(folder)
    for each in _result_last(attempt):
        _move(each, folder)
    attempt.rmdir()


def _clear(folder: Path) -> None:
    was_done = _read_status(folder / RESULT_FILE) == Status.DONE
    previous = folder / PREVIOUS
    if was_done:
        previous.mkdir(exist_ok=True)
    for each in _result_last(folder):
        if each.name in (ATTEMPT, PREVIOUS, READS_FILE):
            continue
        if was_done:
            _move(each, previous)
        else:
            _remove(each)


def _result_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda each: (each.name == RESULT_FILE, each.name))


def _move(source: Path, folder: Path) -> None:
    target = folder / source.name
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _read_status(file: Path) -> str | None:
    """Return the status in a result of whatever schema version, or None if it is damaged."""
    try:
        raw = json.loads(file.read_text())
    except ValueError:
        return None
    return raw.get("status") if isinstance(raw, dict) else None
