"""Linear decoder: each token of the last tap classifies its own pixels.

Reference: Strudel et al., Segmenter, ICCV 2021, arXiv 2105.05633, section 3.2 (linear baseline).

It shows what the backbone knows, for it has no convolution and no second look at the image.

Our choices: every pixel of a token has its own row of the map, where the paper enlarges coarse
logits, for a token of the tiny ViT is an eighth of the slice.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bench.models.backbones.base import Backbone


class LinearDecoder(nn.Module):
    """The last of four maps (B*D, E, h, w) to logits (B*D, K, h*stride, w*stride)."""

    def __init__(self, n_channels: int, stride: int, n_classes: int) -> None:
        super().__init__()
        self.stride = stride
        self.head = nn.Conv2d(n_channels, n_classes * stride**2, kernel_size=1)

    def forward(self, maps: Sequence[torch.Tensor], image_size: tuple[int, int]) -> torch.Tensor:
        return F.pixel_shuffle(self.head(maps[-1]), self.stride)


def build_linear_decoder(backbone: Backbone, n_classes: int) -> LinearDecoder:
    """Return the decoder for a backbone's last map."""
    return LinearDecoder(backbone.tap_channels[-1], backbone.tap_strides[-1], n_classes)
