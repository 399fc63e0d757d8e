"""Whether the arrays of a prepared case are what was written: sizes and checksums of its record.

CRC-32 finds what disks, copies and power cuts do. It takes a second a GiB, half the time of
SHA-256, and is computed once for each file in each process.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.base import DataError
from datasets.files import naming

FILES = "files"  # field of the record; absent in those of earlier versions
BLOCK = 1 << 20  # bytes read at once
_VERIFIED: dict[Path, tuple[int, ...]] = {}  # what this process has read, as it then was


class DamagedError(DataError):
    """A prepared array is not what was written."""


@dataclass
class Checksum:
    """Size and CRC-32 of bytes, which pass through."""

    n_bytes: int = 0
    crc32: int = 0

    def add(self, block: bytes) -> bytes:
        self.n_bytes += len(block)
        self.crc32 = zlib.crc32(block, self.crc32)
        return block

    def to_record(self) -> dict[str, Any]:
        return {"bytes": self.n_bytes, "crc32": f"{self.crc32:08x}"}


def find_damage(file: Path, record: Mapping[str, Any], *, thorough: bool) -> str:
    """Return what is wrong with the arrays of a prepared case, naming the file; "" if nothing is.

    Sizes are compared, and the checksums of arrays that are newer than the record.

    Args:
        file: the record's, in the folder of the arrays.
        record: its content, with checksums.
        thorough: compare all checksums.
    """
    written_ns = file.stat().st_mtime_ns
    for name, expected in record[FILES].items():
        path = file.with_name(name)
        if not path.is_file():
            return f"{path} is missing"
        found = path.stat()
        if found.st_size != expected["bytes"]:
            return f"{path} must have {expected['bytes']:,} bytes, got {found.st_size:,}"
        is_suspicious = thorough or found.st_mtime_ns > written_ns
        if is_suspicious and _read_checksum(path) != expected:
            return f"{path} is damaged: its checksum is not that of its record"
    return ""


def verify(path: Path, expected: Mapping[str, Any]) -> None:
    """Raise DamagedError if a file is not what was written; it is read once in a process.

    A file that has changed since is read again.
    """
    if not path.is_file():
        raise DamagedError(f"{path} is missing")
    before = _describe(path)
    found = _read_checksum(path)
    if found != expected:
        rule = f"must have {expected['bytes']:,} bytes with the checksum {expected['crc32']}"
        raise DamagedError(f"{path}: {rule}, got {found['bytes']:,} with {found['crc32']}")
    _VERIFIED[path] = before


def is_verified(path: Path) -> bool:
    """Whether this process has read a file that is as it was then."""
    try:
        return _VERIFIED.get(path) == _describe(path)
    except FileNotFoundError:
        return False


def _describe(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read_checksum(path: Path) -> dict[str, Any]:
    checksum = Checksum()
    for block in _iter_blocks(path):
        checksum.add(block)
    return checksum.to_record()


def _iter_blocks(path: Path) -> Iterator[bytes]:
    with naming(path), path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            yield block
