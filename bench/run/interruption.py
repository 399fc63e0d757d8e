"""What a run does when it is asked to end early: by a time limit, a preemption, a cancellation.

Slurm sends SIGUSR2 (submitit's) or SIGUSR1 before a time limit, and SIGTERM when it cancels.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, to be continued
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(SystemExit):
    """The run is asked to end early."""


@contextmanager
def interruptible() -> Iterator[None]:
    """End this process with `EXIT_INTERRUPTED` at one of the signals. For the main thread."""
    before = {each: signal.signal(each, _leave) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    raise Interrupted(EXIT_INTERRUPTED)
