"""From names to networks: a backbone with its weights, its decoder, and the segmenter of both."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from bench.models import registry
from bench.models.backbones.base import Backbone
from bench.models.backbones.info import DROP, KEEP, NONE, OWN, TRAIN, Blueprint
from bench.models.decoders.mode import set_mode
from bench.models.segmenter import Segmenter, random_stream
from bench.models.weights import catalogue
from bench.models.weights.load import load_weights

Patch = tuple[int, int, int]  # (D, H, W) in voxels
Size = tuple[int, int]  # (H, W) of a slice in voxels


def build_segmenter(
    blueprint: Blueprint,
    *,
    in_channels: int,
    n_classes: int,
    patch: Patch,
    seed: int,
    decoder_state: Mapping[str, torch.Tensor] | None = None,
) -> Segmenter:
    """Return a network with no method in it; its decoder is frozen if the blueprint asks for that.

    Backbone and decoder have a random stream each: a seed's decoder is the same for all weights
    and methods. The global random state is untouched. ``decoder_state`` are the decoder's tensors;
    None: random ones. Raises: ValueError if a name, the weights or the patch do not fit.
    """
    name, weights, prefix_tokens = blueprint.backbone, blueprint.weights, blueprint.prefix_tokens
    registry.get_decoder(blueprint.decoder, name)
    with random_stream(seed, "backbone"):
        if blueprint.from_scratch:
            registry.check_fit(name, weights, patch[1:])
            backbone = build_random(name, in_channels, patch[1:], weights, prefix_tokens)
        else:
            backbone = build_backbone(name, in_channels, patch[1:], weights, prefix_tokens)
    backbone.volume.depth = patch[0]
    with random_stream(seed, "decoder"):
        decoder = build_decoder(backbone, n_classes, blueprint.decoder)
    if decoder_state is not None:
        decoder.load_state_dict(decoder_state)
    with random_stream(seed, "residuals of the decoder"):
        set_mode(decoder, blueprint.decoder_mode)
    return Segmenter(backbone, decoder, trains_decoder=blueprint.decoder_mode == TRAIN)


def build_backbone(
    name: str, in_channels: int, image_size: Size, weights: str, prefix_tokens: str = KEEP
) -> Backbone:
    """Return a backbone; only ``weights="none"`` draws from the present random state.

    Raises: ValueError if name, weights or size do not fit, or if the weights cannot be had or read.
    """
    registry.check_fit(name, weights, image_size)
    backbone = build_random(name, in_channels, image_size, weights, prefix_tokens)
    if weights != NONE:
        backbone.loaded = load_weights(backbone, weights)
    return backbone


def build_decoder(backbone: Backbone, n_classes: int, name: str = OWN) -> nn.Module:
    """Return a decoder for the backbone, initialised from the present random state."""
    info = registry.get_decoder(name, backbone.name)
    return registry.resolve(info.builder)(backbone, n_classes)


def build_random(
    name: str, in_channels: int, image_size: Size, weights: str, prefix_tokens: str = KEEP
) -> Backbone:
    """Return the backbone with random numbers in it, in the form that these weights need."""
    info = registry.get(name)
    entry = catalogue.find(name, weights)
    if entry is not None and entry.rebuild:
        info = replace(info, family="timm", architecture=entry.tag.partition(".")[0])
    backbone = registry.get_builder(info)(info, in_channels, image_size)
    is_pretrained_without = entry is not None and not entry.has_prefix_tokens
    if prefix_tokens == DROP or is_pretrained_without:
        backbone.drop_prefix_tokens()
    return backbone


def check_weights(name: str, weights: str, image_size: Size, prefix_tokens: str = KEEP) -> str:
    """Get the weights and read them once; return the SHA-256 of their file, "" for ``none``.

    Raises: ValueError if they cannot be had, are damaged, or are of another architecture.
    """
    if weights == NONE:
        return ""
    registry.check_fit(name, weights, image_size)
    with torch.device("meta"):
        backbone = build_random(name, 3, image_size, weights, prefix_tokens)
    return load_weights(backbone, weights).sha256
