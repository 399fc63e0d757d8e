"""UPerNet: pyramid pooling on the coarsest map, a feature pyramid on all, and one fusion.

Reference: Xiao et al., Unified Perceptual Parsing for Scene Understanding, ECCV 2018, arXiv
1807.10221, section 3.1; in the sizes of Med-Tuning (Shen et al., MIDL 2024).

    l_1 = GELU(BN(Conv1(x_1))),  l_2 = Conv1(x_2),  l_3 = Conv1(x_3),  l_4 = Conv1(pool(x_4))
    p_4 = l_4
    p_i = l_i + R(p_(i+1))                  upernet             i = 3, 2, 1
    p_i = l_i + R(l_(i+1))                  upernet_medtuning   i = 3, 2, 1
    pool(x) = ReLU(BN(Conv3(concat(x, R(c_1(x)), R(c_2(x)), R(c_4(x)), R(c_6(x))))))
    c_k(x) = ReLU(BN(Conv1(mean of x over k x k cells)))
    f = ReLU(BN(Conv3(concat(S(p_1), R(S(p_2)), R(S(p_3)), R(p_4)))))
    logits = bilinear(Conv3(f))

R resizes bilinearly to the grid where its result is used. As in Med-Tuning, the finest map passes a
convolution with batch norm and GELU in place of a lateral one, and one smoothing convolution S
serves all levels. Batch norm sees the whole batch: it never runs in chunks.

Our choices: in ``upernet`` the sum of a level enters the next finer one, as in the paper, and R
keeps every pixel where it is in the image (align_corners=False). The code of Med-Tuning adds the
neighbour's lateral map alone, not yet summed, and its R puts the centres of the outermost pixels on
each other (align_corners=True), but for the last resizing, to the slice's size.
``upernet_medtuning`` computes that, with the same parameters.
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

    def __init__(
        self,
        channels: Sequence[int],
        n_classes: int,
        *,
        accumulate: bool = True,
        align_corners: bool = False,
    ) -> None:
        """Build the decoder for maps of these channels.

        Args:
            channels: of the four maps, fine to coarse.
            n_classes: the number K of classes.
            accumulate: whether the sum of a level, not its lateral map, is added to the next finer.
            align_corners: of all resizing but the last.
        """
        super().__init__()
        self.accumulate = accumulate
        self.align_corners = align_corners
        first = nn.Conv2d(channels[0], WIDTH, kernel_size=1)
        self.fpn = nn.Sequential(first, nn.BatchNorm2d(WIDTH), nn.GELU())
        self.pooling = PyramidPooling(channels[-1], align_corners=align_corners)
        self.lateral = nn.ModuleList(nn.Conv2d(n, WIDTH, kernel_size=1) for n in channels[1:])
        self.smooth = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.fuse = _build_conv(len(channels) * WIDTH, WIDTH, kernel=3)
        self.head = nn.Conv2d(WIDTH, n_classes, kernel_size=3, padding=1)

    def forward(self, maps: Sequence[torch.Tensor], image_size: tuple[int, int]) -> torch.Tensor:
        finest, *others = maps
        others[-1] = self.pooling(others[-1])
        lateral = [self.fpn(finest)]
        lateral += [conv(x) for conv, x in zip(self.lateral, others, strict=True)]
        levels = self._add_top_down(lateral)
        levels[:-1] = [self.smooth(x) for x in levels[:-1]]
        resized = [self._resize(x, like=finest) for x in levels]
        fused = self.fuse(torch.cat(resized, dim=1))
        return _resize(self.head(fused), image_size)

    def _add_top_down(self, lateral: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the lateral maps, each with the next coarser one added."""
        levels = list(lateral)
        coarser = levels if self.accumulate else lateral
        for number in reversed(range(len(levels) - 1)):
            added = self._resize(coarser[number + 1], like=lateral[number])
            levels[number] = lateral[number] + added
        return levels

    def _resize(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return _resize(x, like.shape[-2:], align_corners=self.align_corners)


class PyramidPooling(nn.Module):
    """A map (B*D, E, h, w) and its means over grids of `BINS` x `BINS` cells, to the map's shape.

    Reference: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105, section 3.2.
    """

    def __init__(self, width: int, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
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
            y = y + self._convolve_resized(part(x), weight, x.shape[-2:])
        return self.dropout(activation(norm(y)))

    def _convolve_resized(
        self, x: torch.Tensor, weight: torch.Tensor, size: Sequence[int]
    ) -> torch.Tensor:
        """Return the 3x3 convolution (without bias) of x (n, C, b, b) resized to ``size`` (h, w).

        A 1x1 convolution commutes with resizing: where x is much smaller than the result, each of
        the nine taps is applied to x, and one constant matrix resizes, shifts and sums.
        """
        n_cells, taps = x.shape[-2] * x.shape[-1], weight.shape[-2] * weight.shape[-1]
        if 4 * n_cells > size[0] * size[1]:
            resized = _resize(x, size, align_corners=self.align_corners)
            return F.conv2d(resized, weight, padding=1)
        # (n, outputs * taps, b, b)
        each = F.conv2d(x, weight.permute(0, 2, 3, 1).reshape(-1, weight.shape[1], 1, 1))
        exact = torch.promote_types(x.dtype, torch.float32)
        unit = torch.eye(n_cells, dtype=exact, device=x.device).reshape(n_cells, 1, *x.shape[-2:])
        unit = _resize(unit, size, align_corners=self.align_corners)
        shifted = F.unfold(unit, weight.shape[-2:], padding=1)  # (b * b, taps, h * w)
        spread = shifted.transpose(0, 1).reshape(taps * n_cells, -1).to(each.dtype)
        return (each.reshape(len(x), -1, taps * n_cells) @ spread).reshape(len(x), -1, *size)


def build_upernet(backbone: Backbone, n_classes: int) -> UPerNet:
    """Return the decoder for a backbone's maps."""
    return UPerNet(backbone.tap_channels, n_classes)


def build_upernet_medtuning(backbone: Backbone, n_classes: int) -> UPerNet:
    """Return the decoder for a backbone's maps as the code of Med-Tuning computes it."""
    channels = backbone.tap_channels
    return UPerNet(channels, n_classes, accumulate=False, align_corners=True)


def _build_conv(n_inputs: int, n_outputs: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(n_inputs, n_outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_outputs), nn.ReLU())


def _resize(x: torch.Tensor, size: Sequence[int], *, align_corners: bool = False) -> torch.Tensor:
    if x.shape[-2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)
