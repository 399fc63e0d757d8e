"""Hidden widths, and tokens of slices as a volume: what the methods that see depth share."""

import torch
from torch import nn

from methods.sites import Site, TokenLayout


def find_hidden(method: str, site: Site, ratio: int) -> int:
    """Return the hidden width of an adapter, E // ratio. Raises: ValueError if that is 0."""
    if ratio > site.width:
        limit = f"{site.width}, the width of block {site.index}"
        raise ValueError(f"{method}: ratio must be <= {limit}, got {ratio}")
    return site.width // ratio


class DepthConv(nn.Conv2d):
    """A convolution of size 3 along the slices, zeros around them, of patches (B*D, N, h)."""

    def __init__(self, layout: TokenLayout, width: int, groups: int = 1) -> None:
        super().__init__(width, width, (3, 1), padding=(1, 0), groups=groups)
        self.layout = layout

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        volume = self.layout.volume
        x = patches.reshape(volume.batch, volume.depth, *patches.shape[1:])  # (B, D, N, h)
        y = super().forward(x.permute(0, 3, 1, 2))  # (B, h, D, N)
        return y.permute(0, 2, 3, 1).reshape(patches.shape)


def along_depth(x: torch.Tensor, layout: TokenLayout) -> torch.Tensor:
    """Return tokens (B*D, N, E) as sequences of the slices, (B*N, D, E)."""
    volume = layout.volume
    x = x.reshape(volume.batch, volume.depth, *x.shape[1:])
    return x.transpose(1, 2).flatten(0, 1)


def along_slices(x: torch.Tensor, layout: TokenLayout) -> torch.Tensor:
    """Undo `along_depth`."""
    x = x.reshape(layout.volume.batch, -1, *x.shape[1:])  # (B, N, D, E)
    return x.transpose(1, 2).flatten(0, 1)
