"""Files: text is UTF-8, a file is written whole or not at all, and errors name it and the way out.

All rooms write and read back through these functions. A file has its name only when it is complete
and on disk, so that a power cut leaves either the old file or the new one.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
LONGEST_NAME = 180  # bytes; file systems take 255, and locks and unfinished files add to a name
STALE_S = 3600.0  # an unfinished file that is older was left by a process that was killed
DIGEST = 8  # hexadecimal digits
FULL = "make room on the disk, or use another one"
CLOSED = "change the permissions, or use another folder"
WAYS_OUT = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: CLOSED,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a file is in the place of a folder",
}

# what libraries raise on bytes that are not what they expect
DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
_ADAPTERS: dict[Any, Any] = {}  # type of a record -> its checker


class FileError(ValueError):
    """A file cannot be read or replaced; the message names it and the way out."""


def describe_os_error(error: OSError) -> str:
    """Return one sentence: the path, the system's words, and the usual way out if there is one."""
    words = error.strerror or str(error) or type(error).__name__
    hint = WAYS_OUT.get(error.errno or 0)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{words} ({hint})" if hint else f"{where}{words}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of the system the path; writing to a full disk, for one, names no file."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        if error.filename2 is not None:  # of a renaming
            del error.filename2
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; when this returns, their entries are on disk."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write_durably(target: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write a file, in a folder that is made if needed; raises as `new_file`."""
    if isinstance(content, str):
        content = content.encode()
    with new_file(target) as unfinished, unfinished.open("wb") as stream:
        stream.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to, with the target's ending; at the end it becomes the target.

    The file has the mode that the umask gives. An error leaves nothing behind. Raises: FileError if
    the target is no regular file; OSError, which names the target.
    """
    target = target.resolve() if target.is_symlink() else target
    check_replaceable(target)
    make_folder(target.parent)
    _remove_stale(target)
    unfinished = _name_unfinished(target)
    with naming(target):
        try:
            unfinished.touch()
            mode = stat.S_IMODE(unfinished.stat().st_mode)
            yield unfinished
            _finish(unfinished, mode)
            unfinished.replace(target)
            sync_folder(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)


def check_writable(target: Path) -> None:
    """Check that a file can be written, before the work of hours that is to go into it.

    A missing folder is made. Raises: as `new_file`.
    """
    target = target.resolve() if target.is_symlink() else target
    check_replaceable(target)
    make_folder(target.parent)
    probe = _name_unfinished(target)
    with naming(target):
        probe.touch()
        probe.unlink()


def check_replaceable(target: Path) -> None:
    """Raise FileError if something else than a regular file is at the target."""
    if target.exists() and not target.is_file():
        found = "a folder" if target.is_dir() else "a device, a pipe or a socket"
        raise FileError(f"{target}: must be a regular file or a new one, got {found}")


def append_durably(target: Path, line: str) -> None:
    """Add a line to a file; when this returns, it is on disk."""
    with naming(target):
        with target.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk; other systems than POSIX cannot."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_text(file: Path, way_out: str) -> str:
    """Return the text of a file; raise FileError, with the way out, if it is not UTF-8."""
    with naming(file):
        content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        got = f"byte {content[error.start]:#04x} at place {error.start}"
        raise FileError(f"{file}: must be UTF-8 text, got {got} ({way_out})") from None


def read_record(file: Path, kind: type[T], way_out: str) -> T:
    """Return the record in a JSON file, checked against its type; raises as `parse_record`."""
    return parse_record(read_text(file, way_out), kind, str(file), way_out)


def parse_record(text: str, kind: type[T], source: str, way_out: str) -> T:
    """Return the record in a JSON text. Raises: FileError naming source, field and way out."""
    from pydantic import ValidationError

    try:
        return adapter_of(kind).validate_json(text)
    except ValidationError as error:
        raise FileError(f"{source}: {_explain(error)} ({way_out})") from None


def file_name_of(text: str) -> str:
    """Return the name of a file or folder for a text: equal names for equal texts alone.

    A text that can be a name everywhere is kept. Others lose what cannot be in a name, are cut to
    `LONGEST_NAME` bytes and get a hash.
    """
    safe = re.sub(r"[^\w=+,.-]+", "-", text).strip(".-")
    if text and safe == text and len(text.encode()) <= LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    start = safe.encode()[: LONGEST_NAME - DIGEST - 1].decode("utf-8", "ignore")
    return f"{start}-{digest}" if start else digest


def _name_unfinished(target: Path) -> Path:
    return target.with_name(f".{os.getpid()}.partial.{target.name}")


def _finish(unfinished: Path, mode: int) -> None:
    """Bring a file to disk; libraries that write through a file of their own make it private."""
    if stat.S_IMODE(unfinished.stat().st_mode) != mode:
        unfinished.chmod(mode)
    with unfinished.open("rb+") as stream:
        os.fsync(stream.fileno())


def _remove_stale(target: Path) -> None:
    """Remove what processes that were killed have left of the target."""
    for left in target.parent.glob(f".*.partial.{glob.escape(target.name)}"):
        try:
            if time.time() - left.stat().st_mtime > STALE_S:
                left.unlink()
        except OSError:  # another process has done it
            continue


def _explain(error: ValidationError) -> str:
    """Return the first thing that is wrong: "field: rule, got value"."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return f"must be valid JSON, got a damaged file: {first['msg'].partition(': ')[2]}"
    got = f"got {first['input']!r:.80}"
    if not first["loc"] and first["type"] == "dataclass_type":
        return f"must be a JSON object, {got}"
    where = ".".join(map(str, first["loc"]))
    return f"{where:.80}: {first['msg'].lower()}, {got}" if where else f"{first['msg']}, {got}"


def adapter_of(kind: type[T]) -> TypeAdapter[T]:
    """Return pydantic's checker of a type, which is built once."""
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
