"""What looks at a batch as a whole: where several devices share one, these see all of it.

A method that adds up over the patches of a batch, or draws random numbers for them, does so by
these modules, by torch's dropouts or by timm's drop path. All of them take tensors whose first axis
is the batch, or its slices, patch after patch.
"""

import torch
from torch import nn


class BatchSum(nn.Module):
    """The sum over the first axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=0)


class Noise(nn.Module):
    """Standard normal numbers in the shape of a tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.randn_like(x)
