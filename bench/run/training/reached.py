"""How far a training has come, and what it has found so far."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from bench.cost.compiling import work_s
from bench.models.delta import delta_state
from bench.models.segmenter import Segmenter
from bench.specs.protocol import LAST
from reports.records.run import EpochRecord


@dataclass(frozen=True)
class Fit:
    """What training found; the model holds the chosen epoch's weights."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int  # the chosen one
    best_val_dice: float  # of the chosen epoch
    fit_s: float  # training steps and inner validation, in seconds; compiling is not in it
    data_wait_s: float  # waiting for patches, which is not in ``fit_s``


class DivergedError(RuntimeError):
    """A loss, a gradient, a weight or a logit is no longer finite."""

    def __init__(self, sentence: str, reached: Fit | None = None) -> None:
        """``reached``: what was found before; None if no epoch was validated."""
        super().__init__(sentence)
        self.reached = reached


@dataclass
class Reached:
    """How far a training has come, beside the model, the optimiser and the random numbers.

    Attributes:
        started: when the training was, by `work_s`.
        best_state: of the chosen epoch; before that, of the start.
        epoch: in which the next step is, counted from 0.
        n_batches: of that epoch, that were trained on.
        losses: of these batches.
    """

    best_state: Mapping[str, torch.Tensor]
    started: float = field(default_factory=work_s)
    curve: list[EpochRecord] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    best_dice: float = -math.inf
    epoch: int = 0
    n_batches: int = 0
    losses: list[float] = field(default_factory=list)

    def keep_best(self, val_dice: float, model: Segmenter, select: str) -> None:
        """Keep the model's state if the rule of selection prefers it to the one before."""
        if val_dice > self.best_dice or select == LAST:
            self.best_epoch = self.epoch
            self.best_dice = val_dice
            self.best_state = delta_state(model)

    def end_epoch(self, record: EpochRecord) -> None:
        """Add an epoch to the curve, and be at the start of the next one."""
        self.curve.append(record)
        self.epoch += 1
        self.n_batches = 0
        self.losses = []

    def measure(self) -> tuple[float, float]:
        """Return the seconds of training so far, and those of waiting for patches."""
        waited_s = sum(self.waits_s)
        return work_s() - self.started - waited_s, waited_s

    def leave_out(self, seconds: float) -> None:
        """Do not count what has just taken some time as training."""
        self.started += seconds

    def conclude(self) -> Fit | None:
        """Return what was found so far; None if no epoch was chosen yet."""
        if self.best_epoch is None:
            return None
        fit_s, waited_s = self.measure()
        return Fit(tuple(self.curve), self.best_epoch, self.best_dice, fit_s, waited_s)
