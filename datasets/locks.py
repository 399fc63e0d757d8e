"""Locks: one process at a time does something; the system frees a lock when its holder has died.

A lock is the lock of an open file. It lasts until every process that holds the open file has closed
it or has died: a child that takes over a `Lock` as an argument keeps it if its parent is killed.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import reduction
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from datasets.files import make_folder, naming

POLL_S = 0.05
# what file systems answer that have no locks
UNKNOWN = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

log = logging.getLogger(__name__)


class Lock:
    """A lock that this process holds, or shares with its parent."""

    def __init__(self, file: Path, handle: int) -> None:
        self.file = file
        self.handle = handle

    def release(self) -> None:
        """Free the lock and remove its file. Call it when no child holds the lock any more."""
        with suppress(OSError):  # a file that stays is no lock
            self.file.unlink(missing_ok=True)  # before others can hold it
        os.close(self.handle)

    def __reduce__(self) -> tuple[Callable[..., Lock], tuple[Path, Any]]:
        """Hand the lock to a child process that is being started."""
        return _take_over, (self.file, reduction.DupFd(self.handle))


def _take_over(file: Path, handle: Any) -> Lock:
    return Lock(file, handle.detach())


def try_lock(file: Path) -> Lock | None:
    """Return the lock of a file, which is made, or None if another process holds it.

    On a disk without locks everybody gets it, with a warning. Raises: OSError that names the file.
    """
    make_folder(file.parent)
    while True:
        with naming(file):
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not lock_descriptor(handle, blocking=False):
                os.close(handle)
                return None
        except OSError as error:
            if error.errno not in UNKNOWN:
                os.close(handle)
                raise
            _warn_once(file.parent.parent, error.strerror)
            return Lock(file, handle)
        if _is_named(handle, file):
            return Lock(file, handle)
        os.close(handle)  # the last holder has removed the file meanwhile


@contextmanager
def hold_lock(file: Path) -> Iterator[None]:
    """Wait for the lock of a file, and hold it. Raises: as `try_lock`."""
    while (lock := try_lock(file)) is None:
        time.sleep(POLL_S)
    try:
        yield
    finally:
        lock.release()


@cache
def _warn_once(folder: Path, reason: str) -> None:
    rule = "%s: this disk has no locks (%s): start no other command on the same folder"
    log.warning(rule, folder, reason)


def _is_named(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
