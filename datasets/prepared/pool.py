"""Processes for work case by case. A parent that is killed takes them along; one that dies is said."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from datasets.base import DataError

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def run_in_processes(
    function: Callable[[JobT], ResultT], jobs: Sequence[JobT], workers: int
) -> Iterator[tuple[JobT, ResultT]]:
    """Yield each job with its result, in the order in which they end.

    Raises: DataError if a process dies; whatever the function raises.
    """
    context = multiprocessing.get_context(
        "spawn"
    )  # the fork server is one for all, and holds what runs compute with
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise DataError(
            f"a process that prepares data was killed, probably for want of memory ({workers} at once; try --jobs 1)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
