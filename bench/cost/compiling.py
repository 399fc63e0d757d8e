"""The seconds that torch's compiler takes, and a clock that stands still meanwhile.

What is timed is timed by that clock, so that a network that is compiled has the times of a step and
of a volume, and not those of its first ones. Torch is imported only where something is compiled.
"""

import time
from dataclasses import dataclass, field


@dataclass
class _Watch:
    """The periods in which the compiler of this process has worked."""

    seconds: float = 0.0
    periods: list[tuple[float, float]] = field(default_factory=list)  # in seconds since 1970
    started_s: float = 0.0
    began_s: float = 0.0

    def begin(self, _: object) -> None:
        self.started_s = time.perf_counter()
        self.began_s = time.time()

    def end(self, _: object) -> None:
        self.seconds += time.perf_counter() - self.started_s
        self.periods.append((self.began_s, time.time()))


_WATCH = _Watch()


def watch_compiler() -> None:
    """Take the time of every compilation from now on; a second call changes nothing."""
    from torch._dynamo.callback import callback_handler

    if _WATCH.begin not in callback_handler.start_callbacks:
        callback_handler.register_start_callback(_WATCH.begin)
        callback_handler.register_end_callback(_WATCH.end)


def compile_s() -> float:
    """Return the seconds that this process has spent on compiling."""
    return _WATCH.seconds


def work_s() -> float:
    """Return the seconds of a clock that stands still while the compiler works."""
    return time.perf_counter() - _WATCH.seconds


def was_compiling(at_s: float) -> bool:
    """Return whether the compiler worked at a moment, in seconds since 1970."""
    return any(begin_s <= at_s <= end_s for begin_s, end_s in _WATCH.periods)
