"""Single entries of frozen weights that train: what the selective methods share."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from methods import surgery


class SparseUpdate(surgery.Folding):
    """A frozen linear layer or convolution, some entries of whose weight have a trained change.

    ``index`` holds their places in the flattened weight; None: no entry trains.
    """

    index: torch.Tensor | None

    def __init__(self, base: nn.Module, index: torch.Tensor) -> None:
        super().__init__(base)
        self.values: nn.Parameter | None
        self.set_entries(index)

    def set_entries(self, index: torch.Tensor) -> None:
        """Let the entries at ``index`` train, from a change of zero."""
        device = self.weight.device
        has_some = len(index) > 0
        self.register_buffer("index", index.to(device) if has_some else None)
        values = torch.zeros(len(index), dtype=self.weight.dtype, device=device)
        self.register_parameter("values", nn.Parameter(values) if has_some else None)

    def change(self) -> torch.Tensor:
        """Return what is added to the weight, in its shape."""
        flat = torch.zeros_like(self.weight).flatten()
        if self.values is not None:
            assert self.index is not None
            flat = flat.scatter(0, self.index, self.values)
        return flat.reshape(self.weight.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_merged:
            return self.base(x)
        weight = self.weight + self.change()
        if isinstance(self.base, nn.Conv2d):
            return F.conv2d(x, weight, self.bias, self.base.stride, self.base.padding)
        return F.linear(x, weight, self.bias)

    def fold(self) -> dict[str, torch.Tensor]:
        return {"weight": self.weight + self.change()}


class GradientSum:
    """Adds up the gradients of some frozen weights, or their squares."""

    def __init__(self, weights: Sequence[torch.Tensor], *, squared: bool) -> None:
        self.watched = weights
        self.squared = squared
        self.totals = [torch.zeros_like(weight, requires_grad=False) for weight in weights]

    def observe(self) -> None:
        """Add the present gradients, and remove them."""
        for weight, total in zip(self.watched, self.totals, strict=True):
            if weight.grad is not None:
                total += weight.grad**2 if self.squared else weight.grad
                weight.grad = None
