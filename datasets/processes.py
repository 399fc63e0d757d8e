"""How this program is started, and its children, which end with it even if it is killed."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

_ABOVE = Path(__file__).resolve().parents[1]
IS_INSTALLED = (_ABOVE / "__init__.py").is_file()  # the wheel has one package around all
PROGRAM = "medtuning-bench" if IS_INSTALLED else "python -m bench"  # starts this program
GRACE_S = 5.0  # between asking a process to end and killing it
GROUP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # Slurm's, to a whole group
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def follow_parent() -> None:
    """Leave Ctrl-C to the parent of this process, and end as soon as the parent has ended.

    Signals that a fork server blocks reach this process, also if they came before.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    parent = multiprocessing.parent_process()
    assert parent is not None
    _kill_on_close(parent.sentinel)
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _kill_on_close(sentinel: int) -> None:
    """Let the kernel kill this process when the parent has ended, where the kernel can (Linux).

    It needs no thread, which a computation may keep from running. PR_SET_PDEATHSIG would follow the
    fork server in the place of the parent, or the one thread that has started this process.
    """
    if not sys.platform.startswith("linux"):
        return
    from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG, fcntl

    fcntl(sentinel, F_SETOWN, os.getpid())
    fcntl(sentinel, F_SETSIG, signal.SIGKILL)
    fcntl(sentinel, F_SETFL, fcntl(sentinel, F_GETFL) | os.O_ASYNC)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def follow_starter() -> None:
    """Let the kernel kill this process when the thread that has started it ends (Linux)."""
    prctl = _find_prctl()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def build_follower() -> Callable[[], None] | None:
    """Return what makes a program end with this process: ``preexec_fn`` of `subprocess`.

    It is for a process that starts programs from its main thread. None: the system cannot do it.
    """
    prctl = _find_prctl()
    if prctl is None:
        return None
    parent = os.getpid()

    def follow() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)

    return follow


def _find_prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return function


def list_started(others: Sequence[BaseProcess]) -> list[BaseProcess]:
    """Return the living children of this process that are not among ``others``."""
    return [each for each in multiprocessing.active_children() if each not in others]


def stop_processes(processes: Sequence[BaseProcess], patience_s: float | None = None) -> None:
    """End processes: ask them to, and after a while, or at another Ctrl-C, kill them."""
    patience_s = GRACE_S if patience_s is None else patience_s
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + patience_s
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
