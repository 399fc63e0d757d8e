"""Writing files so that a power cut leaves either the old file or the new one."""

import os
from pathlib import Path

PARTIAL = ".partial"


def write_durably(target: Path, content: str | bytes) -> None:
    """Write a file as a whole or not at all."""
    partial = partial_of(target)
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    replace_durably(partial, target)


def append_durably(target: Path, line: str) -> None:
    """Add a line to a file; when this returns, it is on disk."""
    with target.open("a") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    _sync_folder(target.parent)


def partial_of(target: Path) -> Path:
    """Return the path to write to before `replace_durably`."""
    return target.with_name(target.name + PARTIAL)


def replace_durably(partial: Path, target: Path) -> None:
    """Give a complete file its final name."""
    with partial.open("rb+") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk; other systems than POSIX cannot."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
