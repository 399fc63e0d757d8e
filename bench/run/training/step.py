"""One optimiser step of the protocol."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from bench.models.hooks import Hooks
from bench.models.segmenter import Part, Segmenter
from bench.run.training.loss import build_loss
from bench.run.training.optimiser import build_optimizer
from bench.run.training.ranks import average_gradients, sum_over_ranks
from bench.specs.protocol import TrainSpec

# "image" (B, C, D, H, W) float32, "label" (B, D, H, W) uint8, and in some data sets "ignored"
# (B, D, H, W) bool
Batch = dict[str, torch.Tensor]
CERTAIN = 1e4  # a logit: the softmax of the others is 0


@dataclass(frozen=True)
class TrainingStep:
    """A step of the protocol, for training and for measuring it."""

    model: nn.Module  # as Fabric wraps it: its forward pass has the protocol's precision
    optimizer: Any  # as Fabric wraps it
    fabric: Fabric
    spec: TrainSpec
    loss_function: nn.Module
    hooks: Hooks

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The scale of the losses; None where the precision needs none."""
        scaler: torch.amp.GradScaler | None
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        return scaler

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch that is on the device."""
        logits = self.model(batch["image"]).float()
        if "ignored" in batch:
            logits = silence(logits, batch["ignored"])
        label = batch["label"][:, None].long()  # on the device: it came in a byte a voxel
        return self.hooks.add_losses(self.loss_function(logits, label))

    def backward(self, loss: torch.Tensor) -> None:
        self.fabric.backward(loss)

    def move(self) -> torch.Tensor:
        """Clip the gradients and move the weights; return the gradients' norm, on the device.

        Where it is not finite, the weights of a CPU stay as they were; a GPU would have to wait
        until it is known. With 16-mixed, a step that the loss scale made too large is left out and
        the scale is halved, which is no fault while the scale is above 1.
        """
        average_gradients(self.model.parameters(), self.fabric)
        if self.scaler is not None:
            return self._move_scaled(self.scaler)
        norm = self._clip()
        if self.fabric.device.type != "cpu" or torch.isfinite(norm):
            self.optimizer.step()
            self._after_step()
        return norm

    def _move_scaled(self, scaler: torch.amp.GradScaler) -> torch.Tensor:
        norm = self._clip() if self.spec.clip_norm else torch.zeros((), device=self.fabric.device)
        scale = scaler.get_scale()
        self.optimizer.step()
        if scaler.get_scale() < scale:  # the step was left out
            return norm.new_tensor(0.0 if scale > 1 else math.inf)
        self._after_step()
        return norm

    def _after_step(self) -> None:
        groups = self.optimizer.param_groups
        rates = [group["lr"] for group in groups if group["name"].startswith(Part.METHOD)]
        self.hooks.after_step(rates[0] if rates else self.spec.lr)

    def _clip(self) -> torch.Tensor:
        """Clip the gradients to the protocol's norm, if it has one; return the norm before."""
        if not self.spec.clip_norm:
            gradients = [each.grad for each in self.model.parameters() if each.grad is not None]
            return torch.nn.utils.get_total_norm(gradients)
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.spec.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None  # it is only for clipping by value
        return norm

    def update(self, loss: torch.Tensor) -> None:
        """Compute the gradients of one batch, clip them and move the weights."""
        self.optimizer.zero_grad()
        self.backward(loss)
        self.move()

    def repeat(self, batch: Batch) -> None:
        """Carry out a whole step; this batch stands for each of those that it accumulates."""
        self.optimizer.zero_grad()
        for _ in range(self.spec.accumulate):
            self.backward(self.loss(batch) / self.spec.accumulate)
        self.move()


def silence(logits: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:
    """Return logits (B, K, D, H, W) that are certain of the background at ignored voxels.

    The label is background there, so that these voxels add nothing to either loss and have no
    gradient; cross-entropy is still divided by the number of all voxels. ``ignored`` is bool
    (B, D, H, W).
    """
    certain = torch.zeros(logits.shape[1], device=logits.device)
    certain[0] = CERTAIN
    return torch.where(ignored[:, None], certain.view(1, -1, 1, 1, 1), logits)


def build_step(model: Segmenter, spec: TrainSpec, fabric: Fabric) -> TrainingStep:
    """Return the protocol's step on everything that requires a gradient, with a fresh optimiser."""
    wrapped, optimizer = fabric.setup(model, build_optimizer(model, spec))
    loss = build_loss(spec.loss, partial(sum_over_ranks, fabric=fabric))
    return TrainingStep(wrapped, optimizer, fabric, spec, loss, Hooks(model))
