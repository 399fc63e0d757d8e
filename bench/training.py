"""The one training loop. It is the control variable of the experiment: no method's name, no test case, in here.

Warm-up and cosine follow Med-Tuning (Shen et al., MIDL 2024); the loss is the equal sum of soft Dice and cross-entropy
(nnU-Net, Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from monai.losses import DiceCELoss
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import Segmenter
from bench.results import EpochRecord
from bench.spec import TrainSpec

Batch = dict[str, torch.Tensor]  # "image" (B, C, D, H, W) float32, "label" (B, D, H, W) int64


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingData:
    """All that training may see; both parts are the same for every method."""

    draw_epoch: Callable[[int], Iterable[Batch]]
    steps_per_epoch: int
    validate: Callable[[], float]  # mean Dice of the model, as it is then, on the inner validation cases


@dataclass(frozen=True)
class Fit:
    """What training hands over; the model holds the best epoch's weights."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int
    best_val_dice: float
    fit_s: float  # training steps and inner validation, in seconds


def fit(
    model: Segmenter, data: TrainingData, spec: TrainSpec, fabric: Fabric, on_progress: Callable[[str, int, int], None]
) -> Fit:
    """Train what requires a gradient, and leave the model at the epoch that was best on the inner validation cases.

    Raises: DivergedError if the loss is not finite.
    """
    started = time.perf_counter()
    total_steps = min(spec.max_steps or math.inf, spec.epochs * data.steps_per_epoch)
    epochs = math.ceil(total_steps / data.steps_per_epoch)
    optimizer = build_optimizer(model, spec)
    schedule = LambdaLR(optimizer, lambda step: lr_factor(step, int(total_steps), spec.warmup_frac))
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    loss_function = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    curve: list[EpochRecord] = []
    best_dice, best_epoch, best_state = -math.inf, 0, delta_state(model)
    step = 0
    for epoch in range(epochs):
        wrapped.train()
        losses = []
        for batch in data.draw_epoch(epoch):
            batch = fabric.to_device(batch)
            loss = loss_function(wrapped(batch["image"]).float(), batch["label"][:, None])
            losses.append(_finite(loss, epoch))
            wrapped_optimizer.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(wrapped, wrapped_optimizer, max_norm=spec.clip_norm, error_if_nonfinite=False)
            wrapped_optimizer.step()
            schedule.step()
            step += 1
            if step >= total_steps:
                break
        val_dice = None
        if (epoch + 1) % spec.val_every == 0 or epoch == epochs - 1:
            val_dice = data.validate()
            if val_dice > best_dice:
                best_dice, best_epoch, best_state = val_dice, epoch, delta_state(model)
        curve.append(EpochRecord(epoch, sum(losses) / len(losses), float(schedule.get_last_lr()[0]), val_dice))
        on_progress("fit", epoch + 1, epochs)
    load_delta(model, best_state)
    return Fit(tuple(curve), best_epoch, best_dice, time.perf_counter() - started)


def build_optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """Return the protocol's optimiser over everything that requires a gradient."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if spec.optimizer == "adam":
        return torch.optim.Adam(trained, lr=spec.lr, weight_decay=spec.weight_decay, amsgrad=True)
    return torch.optim.AdamW(trained, lr=spec.lr, weight_decay=spec.weight_decay)


def lr_factor(step: int, total_steps: int, warmup_frac: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    warmup = max(1, round(warmup_frac * total_steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))


def _finite(loss: torch.Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(f"training: the loss is {value} in epoch {epoch} (try a smaller train.lr)")
    return value
