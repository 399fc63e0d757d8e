"""An attempt at a run works in a folder of its own; the results before it stay until it has ended.

    <run>/             result.json, delta.safetensors, ... of the attempt that ended last
    <run>/attempt/     what is being computed
    <run>/previous/    what was done before it was repeated

Every step can be cut off and taken up again: ``result.json`` is written last, and moved last.
"""

import json
import shutil
from pathlib import Path

from bench.run.firewall import READS_FILE
from reports.records.files import write_durably
from reports.records.run import RESULT_FILE, Status

ATTEMPT, PREVIOUS = "attempt", "previous"


def begin_attempt(folder: Path) -> Path:
    """Return a new folder for an attempt at a run, empty but for the count of test reads."""
    attempt, reads = folder / ATTEMPT, folder / READS_FILE
    if (attempt / READS_FILE).is_file():  # of an attempt that was cut off, and of those before it
        (attempt / READS_FILE).replace(reads)
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(parents=True)
    if reads.is_file():
        write_durably(attempt / READS_FILE, reads.read_text())
    return attempt


def end_attempt(folder: Path) -> None:
    """Put a finished attempt, if any, in the place of the one before, which is kept if done."""
    attempt = folder / ATTEMPT
    if not (attempt / RESULT_FILE).is_file():
        return
    if (folder / RESULT_FILE).is_file():
        _clear(folder)
    for path in _result_last(attempt):
        _move(path, folder)
    attempt.rmdir()


def _clear(folder: Path) -> None:
    was_done = _read_status(folder / RESULT_FILE) == Status.DONE
    previous = folder / PREVIOUS
    for path in _result_last(folder):
        if path.name in (ATTEMPT, PREVIOUS, READS_FILE):
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


def _read_status(file: Path) -> str | None:
    """Return the status in a result of any schema version, or None if it is damaged."""
    try:
        raw = json.loads(file.read_text())
    except ValueError:
        return None
    return raw.get("status") if isinstance(raw, dict) else None
