"""One optimiser step of the protocol."""

from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from bench.models.segmenter import Segmenter
from bench.run.training.loss import build_loss
from bench.run.training.optimiser import build_optimizer
from bench.specs.protocol import TrainSpec

Batch = dict[str, torch.Tensor]  # "image" (B, C, D, H, W) float32, "label" (B, D, H, W) int64


@dataclass(frozen=True)
class TrainingStep:
    """A step of the protocol, for training and for measuring it."""

    model: nn.Module  # as Fabric wraps it: its forward pass has the protocol's precision
    optimizer: Any  # as Fabric wraps it
    fabric: Fabric
    spec: TrainSpec
    loss_function: nn.Module

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch that is on the device."""
        logits = self.model(batch["image"]).float()
        return self.loss_function(logits, batch["label"][:, None])

    def backward(self, loss: torch.Tensor) -> None:
        self.fabric.backward(loss)

    def move(self) -> None:
        """Clip the gradients and move the weights."""
        if self.spec.clip_norm:
            norm = self.spec.clip_norm
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=norm, error_if_nonfinite=False
            )
        self.optimizer.step()

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


def build_step(model: Segmenter, spec: TrainSpec, fabric: Fabric) -> TrainingStep:
    """Return the protocol's step on everything that requires a gradient, with a fresh optimiser."""
    wrapped, optimizer = fabric.setup(model, build_optimizer(model, spec))
    return TrainingStep(wrapped, optimizer, fabric, spec, build_loss(spec.loss))
