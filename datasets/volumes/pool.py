"""Processes for work case by case."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from datasets.base import DataError
from datasets.processes import follow_parent, list_started, stop_processes

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
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        text = "a process that reads or prepares data was killed, probably for want of memory"
        raise DataError(f"{text} ({workers} at once; try --jobs 1)") from None
    except KeyboardInterrupt:
        stop_processes(list_started(others))
        raise
    finally:
        pool.shutdown(cancel_futures=True)
