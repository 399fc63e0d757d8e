"""How much of a decoder trains: all of it, nothing, or low-rank residuals beside frozen weights.

The weight W of every convolution and linear layer, as a matrix of its first axis and all others:

    W' = W + U V        U (rows, R) starts at 0, V (R, columns) at random, R = `RANK` or fewer

Our definition, in the form of LoRA (Hu et al., ICLR 2022, arXiv 2106.09685, section 4.1) with scale
1 and without dropout: biases, norms and position tables stay frozen.

Reference: studies with the decoder as an axis beside the method are PEFT-SAM (Teuber et al., MIDL
2025, arXiv 2502.00418) and FSEFT (Silva-Rodriguez et al., arXiv 2303.17051).
"""

import math

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from bench.models.backbones.info import FROZEN, PEFT, TRAIN

RANK = 4
MODES = (TRAIN, FROZEN, PEFT)


class LowRankResidual(nn.Module):
    """The map from a weight W to W + U V; the identity at first."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        n_rows, n_columns = weight.shape[0], weight[0].numel()
        rank = min(RANK, n_rows, n_columns)
        self.down = nn.Parameter(weight.new_empty(rank, n_columns))
        self.up = nn.Parameter(weight.new_zeros(n_rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def set_mode(decoder: nn.Module, mode: str) -> None:
    """Freeze a decoder, and give it low-rank residuals from the present random state, as ``mode``.

    ``train`` changes nothing. Raises: ValueError if there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"model.decoder_mode: must be {', '.join(MODES)}, got '{mode}'")
    if mode == TRAIN:
        return
    decoder.requires_grad_(False)
    if mode == PEFT:
        for module in [*decoder.modules()]:
            if isinstance(module, nn.Linear | _ConvNd):
                residual = LowRankResidual(module.weight.detach())
                parametrize.register_parametrization(module, "weight", residual)


def count_plain(decoder: nn.Module) -> int:
    """Return the number of a decoder's parameters without residuals, trained or frozen."""
    residuals = [each for each in decoder.modules() if isinstance(each, LowRankResidual)]
    added = sum(each.down.numel() + each.up.numel() for each in residuals)
    return sum(parameter.numel() for parameter in decoder.parameters()) - added
