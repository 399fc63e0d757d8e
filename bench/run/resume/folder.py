"""The files that a run goes on from, in the folder of its attempt."""

from pathlib import Path

from datasets.files import append_durably, read_text

CHECKPOINT_FILE, PREVIOUS_FILE = "checkpoint.safetensors", "checkpoint-previous.safetensors"
RESUMED_FILE = "resumed.jsonl"  # a line for each time that the attempt went on from a checkpoint
KEPT = (CHECKPOINT_FILE, PREVIOUS_FILE, RESUMED_FILE)  # of an attempt that goes on


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run that has ended."""
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        (folder / name).unlink(missing_ok=True)


def add_resumption(folder: Path, line: str) -> None:
    """Note, in one line of JSON, that a run goes on."""
    append_durably(folder / RESUMED_FILE, line)


def forget_resumptions(folder: Path) -> None:
    """Remove the lines of an attempt that begins anew."""
    (folder / RESUMED_FILE).unlink(missing_ok=True)


def count_resumptions(folder: Path) -> int:
    """Return how often the attempt in a folder was cut off and went on from a checkpoint."""
    file = folder / RESUMED_FILE
    if not file.is_file():
        return 0
    return len(read_text(file, "remove it").splitlines())
