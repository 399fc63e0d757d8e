"""A function in a process of its own, so that the peak of its memory is its own."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


def run_in_child(function: Callable[..., T], *args: object) -> T:
    """Return ``function(*args)``, computed in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
