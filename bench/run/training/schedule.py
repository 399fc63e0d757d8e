"""How many steps there are, and the share of the peak learning rates that each step has."""

import math
from dataclasses import dataclass

from bench.specs.protocol import MEDTUNING, TrainSpec


@dataclass(frozen=True)
class Schedule:
    """The optimiser steps of a training."""

    spec: TrainSpec
    batches_per_epoch: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.batches_per_epoch / self.spec.accumulate)

    @property
    def n_steps(self) -> int:
        all_steps = self.spec.epochs * self.steps_per_epoch
        return min(self.spec.max_steps or all_steps, all_steps)

    @property
    def epochs(self) -> int:
        return math.ceil(self.n_steps / self.steps_per_epoch)

    def count_batches(self, first: int) -> int:
        """Return how many batches the step has that begins with batch ``first`` of its epoch."""
        return min(self.spec.accumulate, self.batches_per_epoch - first)

    def factor(self, step: int) -> float:
        """Return the share of the peak learning rates in a step, counted from 0."""
        if self.spec.schedule == MEDTUNING:
            epoch = min(step // self.steps_per_epoch, self.epochs - 1)
            return medtuning_factor(epoch, self.epochs, self.spec.warmup_frac)
        return lr_factor(step, self.n_steps, self.spec.warmup_frac)


def lr_factor(step: int, total_steps: int, warmup_frac: float) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine to zero."""
    warmup = max(1, round(warmup_frac * total_steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))


def medtuning_factor(epoch: int, epochs: int, warmup_frac: float) -> float:
    """Return the share of the peak learning rate in an epoch, as in Med-Tuning's code.

    It rises by 1 - cos. The half cosine that follows is stretched over all epochs, those of the
    warm-up included, so that it ends above zero: at 2.6 % after 25 epochs of warm-up and 250 in
    all.
    """
    warmup = max(1, round(warmup_frac * epochs))
    if epoch < warmup:
        return 1 - math.cos(0.5 * math.pi * (epoch + 1) / warmup)
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / epochs))
