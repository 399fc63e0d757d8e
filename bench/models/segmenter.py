"""Backbone and decoder as one network on volumes, and how a method is put into it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Self

import torch
from torch import nn

from bench.models.backbones.base import Backbone
from methods.base import Method, MissingRole, apply


class Part(StrEnum):
    """What a trained parameter belongs to."""

    DECODER = "decoder"
    METHOD = "method"  # inserted into the backbone
    BACKBONE = "backbone"  # pre-trained and thawed; or a network that is trained whole


class Segmenter(nn.Module):
    """Volumes (B, C, D, H, W) to logits (B, K, D, H, W); each slice is an image for both parts.

    ``decoder`` maps the backbone's four taps and (H, W) to logits (B*D, K, H, W). It may declare
    ``taps_stage_inputs``: then all taps but the last are what enters a stage's blocks.
    """

    def __init__(
        self, backbone: Backbone, decoder: nn.Module, *, trains_decoder: bool = True
    ) -> None:
        """Put both together; a decoder that does not train as a whole stays in evaluation mode."""
        super().__init__()
        self.trains_decoder = trains_decoder
        self.backbone = backbone
        self.decoder = decoder
        backbone.taps_stage_inputs = getattr(decoder, "taps_stage_inputs", False)
        self.pretrained = [*backbone.parameters()]  # without a method
        self.n_pretrained = sum(parameter.numel() for parameter in self.pretrained)
        self.also_trained: list[nn.Parameter] = []  # of the backbone, by the protocol

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the file of pre-trained weights; empty for random ones."""
        return self.backbone.loaded.sha256 if self.backbone.loaded else ""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        batch, channels, depth, height, width = volume.shape
        slices = volume.transpose(1, 2).reshape(batch * depth, channels, height, width)
        maps = self.backbone(slices, batch, depth)
        logits = self.decoder(maps, (height, width))  # (B*D, K, H, W)
        return logits.reshape(batch, depth, -1, height, width).transpose(1, 2)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; what is frozen stays in evaluation mode."""
        super().train(mode)
        if not self.trains_decoder:
            self.decoder.eval()
        return self

    def list_trained(self) -> dict[Part, list[nn.Parameter]]:
        """Return what trains, by the part that it belongs to; a part may be empty."""
        pretrained = set(self.pretrained)
        inserted = [each for each in self.backbone.parameters() if each not in pretrained]
        parts = {
            Part.DECODER: self.decoder.parameters(),
            Part.METHOD: inserted,
            Part.BACKBONE: self.pretrained,
        }
        return {
            part: [each for each in parameters if each.requires_grad]
            for part, parameters in parts.items()
        }

    def tuned_parameters(self) -> dict[str, nn.Parameter]:
        """Return what trains in the backbone, by name; the decoder is not in it."""
        parameters = self.backbone.named_parameters()
        return {name: parameter for name, parameter in parameters if parameter.requires_grad}


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
        also_train: beside the method: ``decoder``, or ``paper``, the backbone's `paper_parts` too.
        backbone_mode: ``eval`` keeps frozen modules in evaluation mode (no dropout, no drop path);
            ``train`` lets them follow ``train()``.
    Raises: MissingRole if the backbone has no place for the method, or if nothing would train;
    ValueError if a setting is bad.
    """
    _check_choice("also_train", also_train, ("decoder", "paper"))
    _check_choice("backbone_mode", backbone_mode, ("eval", "train"))
    with random_stream(seed, method.info.name):
        apply(method, model.backbone)
    if also_train == "paper":
        for parameter in model.backbone.list_paper_parameters():
            if not parameter.requires_grad:  # the method has not thawed it
                parameter.requires_grad_(True)
                model.also_trained.append(parameter)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        reason = "it trains nothing in the backbone, and the decoder is frozen"
        raise MissingRole(f"{method.info.name}: {reason}")
    model.backbone.frozen_in_train_mode = backbone_mode == "train"
    model.backbone.train(model.backbone.training)


@contextmanager
def random_stream(seed: int, purpose: str) -> Iterator[None]:
    """Let torch draw (on the CPU) from the stream of a seed and purpose, then restore its state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random.Random(f"{seed}/{purpose}").getrandbits(63))
        yield


def _check_choice(name: str, value: str, known: tuple[str, str]) -> None:
    if value not in known:
        raise ValueError(f"model.{name}: must be {' or '.join(known)}, got '{value}'")
