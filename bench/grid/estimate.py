"""How many bytes a training step holds, found out without computing: the network is built on torch's meta device.

Counted is what lives at the end of the forward pass and what the step needs beside it: weights,
gradients, optimiser state, and what autograd keeps for the backward pass. Temporary results and an
allocator's reserve come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bench.cost.inventory import NetworkShape, build_outline
from bench.cost.memory import count_bytes, count_saved_bytes
from bench.models.segmenter import apply_method
from bench.run.training import build_loss
from methods.base import Method
from methods.executed import set_execution
from methods.execution import Execution


@dataclass(frozen=True)
class StepBytes:
    """Bytes of one training step on one patch in fp32, with AdamW's two moments as optimiser state."""

    weights: int
    gradients: int
    optimizer: int
    saved: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.saved


def estimate_step(shape: NetworkShape, method: Method, execution: Execution) -> StepBytes:
    """Return what a step of a method with this network and patch holds.

    Raises: MissingRole if the backbone cannot host the method; ValueError if a setting does not fit
    it.
    """
    model = build_outline(shape)
    with torch.device("meta"):
        apply_method(model, method, seed=0, also_train=shape.also_train)
        image = torch.empty(1, shape.channels, *shape.patch)
        label = torch.empty(1, 1, *shape.patch, dtype=torch.int64)
    set_execution(model.train(), execution)
    loss_function = build_loss()
    trained = count_bytes(parameter for parameter in model.parameters() if parameter.requires_grad)
    return StepBytes(
        weights=count_bytes([*model.parameters(), *model.buffers()]),
        gradients=trained,
        optimizer=2 * trained,
        saved=count_saved_bytes(model, lambda: loss_function(model(image), label)),
    )
