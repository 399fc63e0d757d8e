"""Backbone and decoder as one network on volumes."""

from __future__ import annotations

import torch
from torch import nn

from bench.models.backbone import Backbone


class Segmenter(nn.Module):
    """Volumes (B, C, D, H, W) to logits (B, K, D, H, W): every slice is an image for the backbone and the decoder.

    ``decoder`` maps the backbone's four taps and (H, W) to logits (B*D, K, H, W).
    """

    def __init__(self, backbone: Backbone, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder
        self.also_trained: tuple[nn.Parameter, ...] = ()  # of the backbone, by the protocol and not by the method

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch of volumes."""
        batch, channels, depth, height, width = volume.shape
        slices = volume.transpose(1, 2).reshape(batch * depth, channels, height, width)
        maps = self.backbone(slices, batch, depth)
        logits: torch.Tensor = self.decoder(maps, (height, width))  # (B*D, K, H, W)
        return logits.reshape(batch, depth, -1, height, width).transpose(1, 2)

    def tuned_parameters(self) -> dict[str, nn.Parameter]:
        """Return what trains in the backbone, by name; the decoder is not in it."""
        return {name: parameter for name, parameter in self.backbone.named_parameters() if parameter.requires_grad}
