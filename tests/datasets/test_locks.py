"""Locks have one holder, stay with the child of a killed one, and end with their holder."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import locks
from datasets.locks import hold_lock, try_lock

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import multiprocessing, os, sys, time
from pathlib import Path
from datasets.locks import try_lock

def keep(lock, *_):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    lock = try_lock(Path(sys.argv[1]))
    if sys.argv[2] == "child":
        context = multiprocessing.get_context("forkserver")
        context.Process(target=keep, args=(lock,)).start()
    else:
        keep(lock)
    time.sleep(60)
"""


def start_holder(folder: Path, kind: str) -> tuple[subprocess.Popen[str], int]:
    """Start a process that holds the lock, itself or with a child; return it and who holds it."""
    script = folder / "holder.py"
    script.write_text(HOLDER, encoding="utf-8")
    holder = subprocess.Popen(
        [sys.executable, str(script), str(folder / "lock"), kind],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert holder.stdout is not None
    with holder.stdout as output:
        return holder, int(output.readline())


def wait_for_lock(file: Path, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lock = try_lock(file)
        if lock is not None:
            lock.release()
            return True
        time.sleep(0.05)
    return False


def test_a_lock_ends_with_its_holder_and_leaves_no_file(tmp_path: Path) -> None:
    holder, _ = start_holder(tmp_path, "alone")
    assert try_lock(tmp_path / "lock") is None
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()  # a file that is left is no lock
    assert wait_for_lock(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_a_child_keeps_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    holder, child = start_holder(tmp_path, "child")
    holder.kill()
    holder.wait()
    assert not wait_for_lock(tmp_path / "lock", 0.5)
    os.kill(child, signal.SIGKILL)
    assert wait_for_lock(tmp_path / "lock")


def test_a_file_that_its_holder_has_removed_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command opens the file, the holder removes it and lets go, a third one makes it anew."""
    file, lock_descriptor = tmp_path / "lock", locks.lock_descriptor
    third = []

    def replace_and_lock(handle: int, *, blocking: bool) -> bool:
        monkeypatch.setattr(locks, "lock_descriptor", lock_descriptor)
        file.unlink()
        third.append(try_lock(file))
        return lock_descriptor(handle, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", replace_and_lock)
    assert try_lock(file) is None
    assert third[0] is not None
    third[0].release()
    with hold_lock(file):
        assert try_lock(file) is None


def test_a_disk_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(handle: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "lock_descriptor", refuse)
    with hold_lock(tmp_path / "lock"):
        assert "this disk has no locks" in caplog.text
