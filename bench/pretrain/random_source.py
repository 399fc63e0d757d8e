"""Random numbers for a batch of images, and what all kinds of images share."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

N_CHANNELS = 3


@dataclass(frozen=True)
class RandomSource:
    """Random numbers of one generator; the first dimension of every result is the image (B)."""

    generator: torch.Generator
    count: int  # B
    size: int  # H and W, in pixels

    @property
    def grid(self) -> torch.Tensor:
        """The pixels' coordinates (2, H, W): y, x in [-1, 1]."""
        axis = torch.linspace(-1, 1, self.size)
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"))

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((self.count, *shape), generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn((self.count, *shape), generator=self.generator)

    def integers(self, end: int, *shape: int) -> torch.Tensor:
        return torch.randint(end, (self.count, *shape), generator=self.generator)

    def smooth(self, channels: int, cells: int) -> torch.Tensor:
        """Return noise (B, channels, H, W) of deviation about 1, with ``cells`` nodes a side."""
        coarse = self.normal(channels, cells, cells)
        size = (self.size, self.size)
        field = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True)
        return field / field.std(dim=(2, 3), keepdim=True).clamp_min(1e-3)


def z_score(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return x (B, C, H, W), less the reference's means, in the reference's deviations."""
    mean = reference.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / reference.std(dim=(2, 3), keepdim=True)
