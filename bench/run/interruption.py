"""What a run does when it is asked to end early: by a time limit, a preemption, a cancellation.

Slurm sends SIGUSR2 (submitit's) or SIGUSR1 before a time limit, and SIGTERM when it cancels. A
training ends between two steps, all else at once.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, to be continued
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(SystemExit):
    """The run is asked to end early."""


def build_interrupt() -> BaseException:
    """Return what ends a process with `EXIT_INTERRUPTED`."""
    return Interrupted(EXIT_INTERRUPTED)


@dataclass
class _Request:
    """Of this process, as its signal handlers are.

    Attributes:
        number: of the signal that has come; 0: none.
        is_deferred: somebody asks for it, and no exception is raised.
        build: returns what is raised.
    """

    number: int = 0
    is_deferred: bool = False
    build: Callable[[], BaseException] = build_interrupt


_request = _Request()


def list_command_signals() -> list[signal.Signals]:
    """Return the signals that end a command: ours, and Ctrl-C unless the shell has it ignored."""
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return [*SIGNALS] if is_ignored else [signal.SIGINT, *SIGNALS]


@contextmanager
def interruptible(
    build: Callable[[], BaseException] = build_interrupt,
    signals: Sequence[signal.Signals] = SIGNALS,
) -> Iterator[None]:
    """Raise what ``build`` returns at one of the signals. For the main thread.

    Libraries catch everything while they are imported, this as well: long loops call
    `end_if_asked`.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        _request.number = number
        if not _request.is_deferred:
            raise build()

    _request.build = build
    before = {each: signal.signal(each, leave) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        _request.number = 0


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
    """Return whether one of `SIGNALS` has come."""
    return _request.number in SIGNALS


def end_if_asked() -> None:
    """Raise what `interruptible` builds if one of its signals has come."""
    if _request.number:
        raise _request.build()
