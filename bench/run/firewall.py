"""The held-out cases stay closed until the choice is on disk; how often they are opened is counted.

A run that is repeated in its folder goes on with the same ``test_reads.jsonl``, so that a second
look at the held-out cases shows in the result.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from datasets.files import append_durably, read_record, write_durably

SELECTION_FILE = "selection.json"  # names the chosen weights
READS_FILE = "test_reads.jsonl"  # a line each time the held-out cases are opened
DAMAGED = "the file is damaged: repeat the run with --force"
CaseT = TypeVar("CaseT")


class FirewallError(RuntimeError):
    """The held-out cases were asked for when they must not be."""


@dataclass(frozen=True)
class Selection:
    """Which weights were chosen, by the inner validation cases alone."""

    run_id: str
    chosen_sha256: str  # of the delta's tensors
    epoch: int
    val_dice: float | None
    chosen_at: str  # ISO 8601


class HeldOut(Generic[CaseT]):
    """The held-out cases of a fold; ``load`` returns them, and is called once at the most."""

    def __init__(self, folder: Path, load: Callable[[], Sequence[CaseT]]) -> None:
        self._folder = folder
        self._load = load
        self._opened = False

    def open(self, chosen_sha256: str) -> Sequence[CaseT]:
        """Return the cases; the read is on record before the first of them is touched.

        Raises: FirewallError unless the folder names these weights as chosen; at a second call.
        """
        selection = read_selection(self._folder)
        if selection is None:
            rule = "the chosen weights must be on record before the held-out cases are opened"
            raise FirewallError(f"firewall: {rule}")
        chosen = selection.chosen_sha256
        if chosen != chosen_sha256:
            got = chosen_sha256[:12] or "nothing"
            raise FirewallError(f"firewall: {chosen[:12]} was chosen, got {got}")
        if self._opened:
            raise FirewallError("firewall: a run opens the held-out cases once")
        self._opened = True
        read = json.dumps({"chosen_sha256": chosen_sha256, "at": read_clock()})
        append_durably(self._folder / READS_FILE, read)
        return self._load()


def write_selection(
    folder: Path, run_id: str, chosen_sha256: str, epoch: int, val_dice: float | None
) -> None:
    """Put the choice on record; when this returns, it is on disk."""
    selection = Selection(run_id, chosen_sha256, epoch, val_dice, read_clock())
    write_durably(folder / SELECTION_FILE, json.dumps(asdict(selection), indent=1))


def read_selection(folder: Path) -> Selection | None:
    """Return what was chosen in a run's folder, or None if nothing was yet.

    Raises: FileError if the file is damaged.
    """
    file = folder / SELECTION_FILE
    return read_record(file, Selection, DAMAGED) if file.is_file() else None


def count_reads(folder: Path) -> int:
    """Return how often the held-out cases were opened, by all attempts at the run together."""
    file = folder / READS_FILE
    return len(file.read_bytes().splitlines()) if file.is_file() else 0


def read_clock() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
