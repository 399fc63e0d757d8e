"""How far a run is, in a file of its attempt, for whoever wants to know."""

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets.files import FileError, read_record

PROGRESS_FILE = "progress.json"
WRITE_S = 2.0  # the least time between two writes


@dataclass(frozen=True)
class Stand:
    """How far a run is.

    Attributes:
        phase: "start", "fit" (in epochs) or "score" (in cases).
        done: of ``total``.
        left_s: until the phase ends, at its speed so far; None: not known yet.
        node: name of the machine.
        pid: of the process.
    """

    phase: str
    done: int
    total: int
    left_s: float | None
    node: str
    pid: int


def recording_progress(
    folder: Path, on_progress: Callable[[str, int, int], None]
) -> Callable[[str, int, int], None]:
    """Return a function that writes the progress to the folder and passes it on."""
    writer = _Writer(folder)
    writer.record("start", 0, 0)

    def record(phase: str, done: int, total: int) -> None:
        writer.record(phase, done, total)
        on_progress(phase, done, total)

    return record


def forget_progress(folder: Path) -> None:
    """Remove the file of a run that has ended."""
    (folder / PROGRESS_FILE).unlink(missing_ok=True)


def read_progress(folder: Path) -> Stand | None:
    """Return how far the run of an attempt is, or None if it has not begun."""
    try:
        return read_record(folder / PROGRESS_FILE, Stand, "the run writes it anew")
    except (FileError, OSError):
        return None


class _Writer:
    """Writes at most every `WRITE_S`, and always the end of a phase."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.phase = ""
        self.began = 0.0
        self.first = 0
        self.written = 0.0

    def record(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_new = phase != self.phase
        if is_new:
            self.phase = phase
            self.began = now
            self.first = done
        if not is_new and done < total and now - self.written < WRITE_S:
            return
        self.written = now
        n_done = done - self.first
        left_s = (now - self.began) / n_done * (total - done) if n_done > 0 else None
        stand = Stand(phase, done, total, left_s, socket.gethostname(), os.getpid())
        _replace_file(self.folder / PROGRESS_FILE, json.dumps(asdict(stand)))


def _replace_file(file: Path, text: str) -> None:
    """Write a file whole; it need not survive a power cut, so nothing waits for the disk."""
    unfinished = file.with_name(f".{os.getpid()}.partial.{file.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
