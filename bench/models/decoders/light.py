"""Light decoder: convolutions on four feature maps, for laptops, with about 0.2 M parameters.

Reference: Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017, arXiv 1612.03144;
for the maps of a plain ViT, Li et al., Exploring Plain Vision Transformer Backbones, ECCV 2022,
arXiv 2203.16527, section 3.

A plain ViT's maps have one scale. They are brought to four by transposed convolutions and pooling,
and then fused from coarse to fine.

Our choices: normalisation is over groups of channels. Slices of a volume are no independent
samples, so batch statistics of one or two patches are poor.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.base import Backbone

WIDTH = 64
N_GROUPS = 8


class LightDecoder(nn.Module):
    """Four maps (B*D, E_i, h_i, w_i) to logits (B*D, K, H, W), slice by slice.

    ``strides`` are the maps' voxels per feature, either all equal or fine to coarse.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], n_classes: int) -> None:
        super().__init__()
        is_plain_vit = len(set(strides)) == 1
        factors = (4.0, 2.0, 1.0, 0.5) if is_plain_vit else (1.0, 1.0, 1.0, 1.0)
        self.rescale = nn.ModuleList(map(_build_rescale, channels, factors))
        self.fuse = nn.ModuleList(_build_conv(WIDTH) for _ in channels[:-1])
        self.head = nn.Conv2d(WIDTH, n_classes, kernel_size=1)

    def forward(self, maps: Sequence[torch.Tensor], image_size: tuple[int, int]) -> torch.Tensor:
        levels = [rescale(x) for rescale, x in zip(self.rescale, maps, strict=True)]
        x = levels.pop()  # the coarsest
        for fuse in reversed(self.fuse):
            finer = levels.pop()
            x = fuse(finer + F.interpolate(x, size=finer.shape[-2:], mode="nearest"))
        return F.interpolate(self.head(x), size=image_size, mode="bilinear", align_corners=False)


def build_light_decoder(backbone: Backbone, n_classes: int) -> LightDecoder:
    """Return the decoder for a backbone's maps."""
    return LightDecoder(backbone.tap_channels, backbone.tap_strides, n_classes)


def _build_rescale(n_channels: int, factor: float) -> nn.Sequential:
    """Return layers to `WIDTH` channels that resize a map by a factor of 1/2, 1, 2 or 4."""
    conv = nn.Conv2d(n_channels, WIDTH, kernel_size=1, bias=False)
    layers: list[nn.Module] = [conv, nn.GroupNorm(N_GROUPS, WIDTH)]
    if factor < 1:
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    while factor > 1:
        layers += [nn.GELU(), nn.ConvTranspose2d(WIDTH, WIDTH, kernel_size=2, stride=2)]
        factor /= 2
    return nn.Sequential(*layers)


def _build_conv(width: int) -> nn.Sequential:
    conv = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(N_GROUPS, width), nn.GELU())
