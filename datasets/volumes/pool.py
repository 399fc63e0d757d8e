"""Processes for work case by case; they end with their parent, even if it is killed."""

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

OnCase = Callable[[int, int], None]  # called as on_case(done, total) after each case
JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def ignore_progress(done: int, total: int) -> None:
    """Do nothing."""


def run_jobs(
    function: Callable[[JobT], ResultT], jobs: Sequence[JobT], workers: int
) -> Iterator[tuple[JobT, ResultT]]:
    """Yield each job with its result, in the order in which they end; one worker is this process.

    Raises: DataError if a process dies; any exception of the function.
    """
    if workers == 1:
        for job in jobs:
            yield job, function(job)
        return
    # Spawned: a fork copies the locks of threads, and the fork server holds what runs compute with.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        text = "a process that reads or prepares data was killed, probably for want of memory"
        raise DataError(f"{text} ({workers} at once; try --jobs 1)") from None
    finally:
        pool.shutdown(cancel_futures=True)


def follow_parent() -> None:
    """Leave Ctrl-C to the parent of this process, and end as soon as the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
