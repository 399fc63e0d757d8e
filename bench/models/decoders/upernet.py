"""UPerNet: pyramid pooling on the coarsest map, a feature pyramid on all, and one fusion.

Reference: Xiao et al., Unified Perceptual Parsing for Scene Understanding, ECCV 2018, arXiv
1807.10221, section 3.1; in the sizes of Med-Tuning (Shen et al., MIDL 2024). There the finest map
passes a 1x1 convolution with batch norm and GELU in place of a lateral convolution, and one
smoothing convolution serves all levels. Batch norm sees the whole batch: it never runs in chunks.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.base import Backbone

WIDTH = 256
BINS = (1, 2, 4, 6)


class UPerNet(nn.Module):
    """Four maps (B*D, E_i, h_i, w_i), of one scale or fine to coarse, to logits (B*D, K, H, W)."""

    def __init__(self, channels: Sequence[int], n_classes: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels[0], WIDTH, kernel_size=1)
        self.fpn = nn.Sequential(first, nn.BatchNorm2d(WIDTH), nn.GELU())
        self.pooling = PyramidPooling(channels[-1])
        self.lateral = nn.ModuleList(nn.Conv2d(n, WIDTH, kernel_size=1) for n in channels[1:])
        self.smooth = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.fuse = _build_conv(len(channels) * WIDTH, WIDTH, kernel=3)
        self.head = nn.Conv2d(WIDTH, n_classes, kernel_size=3, padding=1)

    def forward(self, maps: Sequence[torch.Tensor], image_size: tuple[int, int]) -> torch.Tensor:
        finest, *others = maps
        others[-1] = self.pooling(others[-1])
        levels = [self.fpn(finest)]
        levels += [lateral(x) for lateral, x in zip(self.lateral, others, strict=True)]
        for number in reversed(range(len(levels) - 1)):
            levels[number] = levels[number] + _resize(levels[number + 1], levels[number].shape[-2:])
        levels[:-1] = [self.smooth(x) for x in levels[:-1]]
        fused = self.fuse(torch.cat([_resize(x, levels[0].shape[-2:]) for x in levels], dim=1))
        return _resize(self.head(fused), image_size)


class PyramidPooling(nn.Module):
    """A map (B*D, E, h, w) and its means over grids of `BINS` x `BINS` cells, to the map's shape.

    Reference: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105, section 3.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // len(BINS)
        self.parts = nn.ModuleList()
        for bins in BINS:
            conv = _build_conv(width, part, kernel=1)
            self.parts.append(nn.Sequential(nn.AdaptiveAvgPool2d(bins), conv))
        self.bottleneck = _build_conv(width + part * len(BINS), width, kernel=3)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The bottleneck's convolution of the concatenation is the sum of its convolutions of the
        # parts: nothing is concatenated, and a map that needs no gradient gets none.
        convolution, norm, activation = self.bottleneck
        assert isinstance(convolution, nn.Conv2d)
        widths = [x.shape[1], *[(convolution.in_channels - x.shape[1]) // len(BINS)] * len(BINS)]
        own, *weights = torch.split(convolution.weight, widths, dim=1)
        y = F.conv2d(x, own, padding=1)
        for part, weight in zip(self.parts, weights, strict=True):
            y = y + _convolve_resized(part(x), weight, x.shape[-2:])
        return self.dropout(activation(norm(y)))


def _convolve_resized(x: torch.Tensor, weight: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return the 3x3 convolution (without bias) of x (n, C, b, b) resized to ``size`` (h, w).

    A 1x1 convolution commutes with resizing: where x is much smaller than the result, each of the
    nine taps is applied to x, and one constant matrix resizes, shifts and sums.
    """
    n_cells, taps = x.shape[-2] * x.shape[-1], weight.shape[-2] * weight.shape[-1]
    if 4 * n_cells > size[0] * size[1]:
        return F.conv2d(_resize(x, size), weight, padding=1)
    # (n, outputs * taps, b, b)
    each = F.conv2d(x, weight.permute(0, 2, 3, 1).reshape(-1, weight.shape[1], 1, 1))
    exact = torch.promote_types(x.dtype, torch.float32)
    unit = torch.eye(n_cells, dtype=exact, device=x.device).reshape(n_cells, 1, *x.shape[-2:])
    shifted = F.unfold(_resize(unit, size), weight.shape[-2:], padding=1)  # (b * b, taps, h * w)
    spread = shifted.transpose(0, 1).reshape(taps * n_cells, -1).to(each.dtype)
    return (each.reshape(len(x), -1, taps * n_cells) @ spread).reshape(len(x), -1, *size)


def build_upernet(backbone: Backbone, n_classes: int) -> UPerNet:
    """Return the decoder for a backbone's maps."""
    return UPerNet(backbone.tap_channels, n_classes)


def _build_conv(n_inputs: int, n_outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(n_inputs, n_outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_outputs), nn.ReLU())


def _resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    if x.shape[-2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
