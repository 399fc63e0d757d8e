"""Backbone and decoder as one network on volumes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bench.models import registry
from bench.models.backbones.base import Backbone
from methods.base import Method, apply


class Segmenter(nn.Module):
    """Volumes (B, C, D, H, W) to logits (B, K, D, H, W): every slice is an image for the backbone and the decoder.

    ``decoder`` maps the backbone's four taps and (H, W) to logits (B*D, K, H, W).
    """

    def __init__(self, backbone: Backbone, decoder: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder
        self.n_pretrained = sum(each.numel() for each in backbone.parameters())  # without a method
        self.also_trained: tuple[
            nn.Parameter, ...
        ] = ()  # of the backbone, by the protocol and not by the method

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch of volumes."""
        batch, channels, depth, height, width = volume.shape
        slices = volume.transpose(1, 2).reshape(batch * depth, channels, height, width)
        maps = self.backbone(slices, batch, depth)
        logits: torch.Tensor = self.decoder(maps, (height, width))  # (B*D, K, H, W)
        return logits.reshape(batch, depth, -1, height, width).transpose(1, 2)

    def tuned_parameters(self) -> dict[str, nn.Parameter]:
        """Return what trains in the backbone, by name; the decoder is not in it."""
        return {
            name: parameter
            for name, parameter in self.backbone.named_parameters()
            if parameter.requires_grad
        }


def build_segmenter(
    backbone: str,
    weights: str,
    *,
    in_channels: int,
    n_classes: int,
    patch: tuple[int, int, int],
    seed: int,
) -> Segmenter:
    """Return a network for patches (D, H, W) in voxels, nothing frozen, no method in it.

    Backbone and decoder are initialised from random streams of their own, so a seed's decoder is
    the same whatever the backbone's weights and the method are; the global random state is
    untouched.
    Raises: ValueError if name, weights or patch do not fit.
    """
    with _random_stream(seed, "backbone"):
        network = registry.build(backbone, in_channels, patch[1:], weights)
    network.volume.depth = patch[0]
    with _random_stream(seed, "decoder"):
        decoder = registry.build_decoder(network, n_classes)
    return Segmenter(network, decoder)


def apply_method(
    model: Segmenter,
    method: Method,
    seed: int,
    *,
    also_train: str = "decoder",
    backbone_mode: str = "eval",
) -> None:
    """Freeze the network's backbone and put a method into it; the global random state is untouched.

    Args:
        also_train: what trains beside the method: ``decoder``, or ``paper``, the backbone's
        `paper_parts` as well (the
            final norm and, in a ViT, the position embedding).
        backbone_mode: ``eval`` keeps frozen modules in evaluation mode for good (no dropout, no
        drop path); ``train``
            lets them follow ``train()``.
    Raises: MissingRole if the backbone cannot host the method; ValueError if a setting does not fit
    it.
    """
    for name, value, known in (
        ("also_train", also_train, ("decoder", "paper")),
        ("backbone_mode", backbone_mode, ("eval", "train")),
    ):
        if value not in known:
            raise ValueError(f"model.{name}: must be {' or '.join(known)}, got '{value}'")
    with _random_stream(seed, method.info.name):
        apply(method, model.backbone)
    if also_train == "paper":
        by_method = {id(parameter) for parameter in model.tuned_parameters().values()}
        parameters = model.backbone.list_paper_parameters()
        model.also_trained = tuple(
            parameter for parameter in parameters if id(parameter) not in by_method
        )
        for parameter in model.also_trained:
            parameter.requires_grad_(True)
    model.backbone.frozen_in_train_mode = backbone_mode == "train"
    model.backbone.train(model.backbone.training)


@contextmanager
def _random_stream(seed: int, purpose: str) -> Iterator[None]:
    """Draw torch's CPU random numbers from a stream of this seed and purpose, and restore the old state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random.Random(f"{seed}/{purpose}").getrandbits(63))
        yield
