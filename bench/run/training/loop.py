"""The one training loop. It is the control variable: it knows no method and no test case.

Warm-up and cosine follow Med-Tuning (Shen et al., MIDL 2024); the loss is the equal sum of soft
Dice and cross-entropy (nnU-Net, Isensee et al., Nature Methods 2021).
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from monai.losses import DiceCELoss
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from bench.cost.timing import synchronize
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import Segmenter
from bench.run.training.optimiser import build_optimizer
from bench.specs.protocol import TrainSpec
from reports.records.run import EpochRecord

Batch = dict[str, torch.Tensor]  # "image" (B, C, D, H, W) float32, "label" (B, D, H, W) int64
Progress = Callable[[str, int, int], None]  # takes a phase ("fit" or "score"), done, total


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingData:
    """All that training may see; both parts are the same for every method."""

    draw_epoch: Callable[[int], Iterable[Batch]]
    steps_per_epoch: int
    validate: Callable[[], float]  # mean Dice of the model, as it then is, on inner validation


@dataclass(frozen=True)
class Fit:
    """What training found; the model holds the best epoch's weights."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int
    best_val_dice: float
    fit_s: float  # training steps and inner validation, in seconds
    data_wait_s: float  # waiting for patches, which is not in ``fit_s``


@dataclass(frozen=True)
class TrainingStep:
    """One optimiser step of the protocol, for training and for measuring it."""

    model: nn.Module  # as Fabric wraps it: its forward pass has the protocol's precision
    optimizer: Any  # as Fabric wraps it
    fabric: Fabric
    clip_norm: float
    loss_function: nn.Module

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch that is on the device."""
        logits = self.model(batch["image"]).float()
        return self.loss_function(logits, batch["label"][:, None])

    def backward(self, loss: torch.Tensor) -> None:
        self.fabric.backward(loss)

    def update(self, loss: torch.Tensor) -> None:
        """Compute the gradients, clip them and move the weights."""
        self.optimizer.zero_grad()
        self.backward(loss)
        self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
        )
        self.optimizer.step()


def fit(
    model: Segmenter, data: TrainingData, spec: TrainSpec, fabric: Fabric, on_progress: Progress
) -> Fit:
    """Train what requires a gradient; the model is left at its best epoch on inner validation.

    Raises: DivergedError if the loss is not finite.
    """
    started = time.perf_counter()
    waited_s = 0.0
    all_steps = spec.epochs * data.steps_per_epoch
    n_steps = min(spec.max_steps or all_steps, all_steps)
    epochs = math.ceil(n_steps / data.steps_per_epoch)
    step = build_step(model, spec, fabric)
    factor = partial(lr_factor, total_steps=n_steps, warmup_frac=spec.warmup_frac)
    schedule = LambdaLR(step.optimizer.optimizer, factor)
    curve: list[EpochRecord] = []
    best_dice, best_epoch = -math.inf, 0
    best_state = delta_state(model)
    done = 0
    for epoch in range(epochs):
        step.model.train()
        losses = []
        for batch, wait_s in _iter_timed(data.draw_epoch(epoch), fabric):
            loss = step.loss(batch)
            losses.append(_finite(loss, epoch))
            step.update(loss)
            schedule.step()
            waited_s += wait_s
            done += 1
            if done >= n_steps:
                break
        val_dice = None
        if (epoch + 1) % spec.val_every == 0 or epoch == epochs - 1:
            val_dice = data.validate()
            if val_dice > best_dice:
                best_dice, best_epoch = val_dice, epoch
                best_state = delta_state(model)
        share = factor(done)  # of the peak learning rates, as the next step would have it
        record = EpochRecord(
            epoch, sum(losses) / len(losses), spec.lr * share, val_dice, spec.decoder_lr * share
        )
        curve.append(record)
        on_progress("fit", epoch + 1, epochs)
    load_delta(model, best_state)
    synchronize(fabric.device)
    fit_s = time.perf_counter() - started - waited_s
    return Fit(tuple(curve), best_epoch, best_dice, fit_s, waited_s)


def build_step(model: Segmenter, spec: TrainSpec, fabric: Fabric) -> TrainingStep:
    """Return the protocol's step on everything that requires a gradient, with a fresh optimiser."""
    wrapped, optimizer = fabric.setup(model, build_optimizer(model, spec))
    return TrainingStep(wrapped, optimizer, fabric, spec.clip_norm, build_loss())


def build_loss() -> nn.Module:
    """Return the protocol's loss of logits (B, K, D, H, W) and labels (B, 1, D, H, W)."""
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)


def lr_factor(step: int, total_steps: int, warmup_frac: float) -> float:
    """Return the share of the peak learning rate: a linear rise, then half a cosine to zero."""
    warmup = max(1, round(warmup_frac * total_steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))


def _iter_timed(batches: Iterable[Batch], fabric: Fabric) -> Iterator[tuple[Batch, float]]:
    """Yield batches on the device with the seconds that they kept an idle device waiting."""
    iterator = iter(batches)
    while True:
        synchronize(fabric.device)  # else what the device is still computing would count as waiting
        started = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            return
        batch = fabric.to_device(batch)
        synchronize(fabric.device)
        yield batch, time.perf_counter() - started


def _finite(loss: torch.Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        hint = "try a smaller train.lr or train.decoder_lr"
        raise DivergedError(f"training: the loss is {value} in epoch {epoch} ({hint})")
    return value
