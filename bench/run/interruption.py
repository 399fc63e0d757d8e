"""What a run does when it is asked to end early: by a time limit, a preemption, a cancellation.

Slurm sends SIGUSR2 (submitit's) or SIGUSR1 before a time limit, and SIGTERM when it cancels. A
training ends between two steps, all else at once.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, to be continued
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(SystemExit):
    """The run is asked to end early."""


@dataclass
class _Request:
    """Of this process, as its signal handlers are.

    Attributes:
        is_made: a signal has come.
        is_deferred: somebody asks for it, and no exception is raised.
    """

    is_made: bool = False
    is_deferred: bool = False


_request = _Request()


def build_interrupt() -> BaseException:
    """Return what ends a process with `EXIT_INTERRUPTED`."""
    return Interrupted(EXIT_INTERRUPTED)


@contextmanager
def interruptible(build: Callable[[], BaseException] = build_interrupt) -> Iterator[None]:
    """Raise what ``build`` returns at one of the signals. For the main thread."""

    def leave(number: int, frame: FrameType | None) -> None:
        _request.is_made = True
        if not _request.is_deferred:
            raise build()

    before = {each: signal.signal(each, leave) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        _request.is_made = False


@contextmanager
def deferred() -> Iterator[None]:
    """Let signals wait for `end_if_asked`, which is called at the end as well."""
    _request.is_deferred = True
    try:
        yield
    finally:
        _request.is_deferred = False
    end_if_asked()


def is_asked() -> bool:
    """Return whether one of the signals has come."""
    return _request.is_made


def end_if_asked() -> None:
    """Raise Interrupted if one of the signals has come."""
    if _request.is_made:
        raise build_interrupt()
