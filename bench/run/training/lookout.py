"""Losses, gradient norms and waiting times of steps, which are read from a GPU now and then.

A GPU computes behind the program, which prepares the next steps meanwhile. Each number that is read
makes the program wait for the GPU, and then the GPU for the program.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from bench.cost.timing import synchronize
from bench.run.training.reached import DivergedError

T = TypeVar("T")
EVERY = {"cuda": 20}  # batches between two looks, by the kind of the device; others: 1


@dataclass
class Lookout:
    """What the steps have left on the device since the last look, in their order."""

    device: torch.device
    describe_gradient: Callable[[], str]  # called when its norm is not finite
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    n_noted: int = 0  # losses, in all

    @property
    def every(self) -> int:
        return EVERY.get(self.device.type, 1)

    def note_loss(self, loss: torch.Tensor) -> None:
        """Note the loss of a batch. Raises: as `look`, if there is a look at each."""
        self.losses.append(loss)
        self.n_noted += 1
        if self.every == 1:
            _check_loss(float(loss))

    def note_norm(self, norm: torch.Tensor) -> None:
        """Note the gradient's norm of a step. Raises: as `look`, if there is a look at each."""
        self.norms.append(norm)
        if self.every == 1:
            self._check_norm(float(norm))

    @property
    def is_due(self) -> bool:
        """Whether to look, at the same batches in all processes that share a training."""
        return self.n_noted % self.every == 0

    def look(self) -> list[float]:
        """Return the losses since the last look. Raises: DivergedError if one is not finite."""
        losses, norms = _read(self.losses), _read(self.norms)
        self.losses, self.norms = [], []
        for loss in losses:
            _check_loss(loss)
        for norm in norms:
            self._check_norm(norm)
        return losses

    def _check_norm(self, norm: float) -> None:
        if not math.isfinite(norm):
            raise DivergedError(self.describe_gradient())


def _check_loss(loss: float) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss}")


def _read(numbers: list[torch.Tensor]) -> list[float]:
    if not numbers:
        return []
    found: list[float] = torch.stack([number.float() for number in numbers]).tolist()
    return found


class Waiting:
    """How long a device has nothing to do because its next batch is not on it yet.

    On a GPU it is the time between two events: the end of what it was given before, and the moment
    from which it can go on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self.seconds: list[float] = []

    def time(self, fetch: Callable[[], T]) -> T:
        """Return what a function returns, which brings a batch onto the device."""
        if self.device.type == "cuda":
            before, after = _build_event(), _build_event()
            before.record()
            found = fetch()
            after.record()
            self.events.append((before, after))
            return found
        synchronize(self.device)  # else what is still being computed would count as waiting
        started = time.perf_counter()
        found = fetch()
        synchronize(self.device)
        self.seconds.append(time.perf_counter() - started)
        return found

    def read(self) -> list[float]:
        """Return the seconds since they were last read; the device has done what came after."""
        seconds = self.seconds + [one.elapsed_time(other) / 1000 for one, other in self.events]
        self.seconds, self.events = [], []
        return seconds


def _build_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own
