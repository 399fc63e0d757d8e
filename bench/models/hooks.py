"""What inserted modules do beside the forward pass; they are found by their protocols."""

from collections.abc import Mapping

import torch
from torch import nn

from methods.base import Described, FollowsSteps, HasLoss, ShapedByDelta


class Hooks:
    """The modules of a network that have a loss of their own, or act after each step."""

    def __init__(self, model: nn.Module) -> None:
        self.with_loss = [each for each in model.modules() if isinstance(each, HasLoss)]
        self.after_steps = [each for each in model.modules() if isinstance(each, FollowsSteps)]

    def add_losses(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the task's loss with what the modules add to it after a forward pass."""
        for module in self.with_loss:
            extra = module.extra_loss()
            loss = loss if extra is None else loss + extra
        return loss

    def after_step(self, lr: float) -> None:
        """Call what acts after a step of the optimiser, with the method's learning rate."""
        for module in self.after_steps:
            module.after_step(lr)


def shape_like(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Let modules whose tensors depend on the training data have those of a stored network."""
    for name, module in [*model.named_modules()]:
        if isinstance(module, ShapedByDelta):
            start = f"{name}."
            own = [key for key in state if key.startswith(start)]
            module.shape_like({key.removeprefix(start): state[key] for key in own})


def describe_modules(model: nn.Module) -> dict[str, Mapping[str, float]]:
    """Return what inserted modules say about what training has made of them, by their names."""
    named = model.named_modules()
    return {name: each.describe() for name, each in named if isinstance(each, Described)}
