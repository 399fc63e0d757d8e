"""The backbones by name: torch-free facts, and the function that builds each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from bench.models.backbones.info import NONE, TIMM, BackboneInfo, LoadedWeights
from bench.models.weights import catalogue
from methods.settings import suggest

if TYPE_CHECKING:
    from torch import nn

    from bench.models.backbones.base import Backbone

Builder = Callable[
    ["BackboneInfo", int, tuple[int, int]], "Backbone"
]  # in_channels, (height, width) -> random weights
DecoderBuilder = Callable[["Backbone", int], "nn.Module"]  # n_classes
VIT = "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv 2010.11929"
DEIT = "Touvron et al., Training data-efficient image transformers, ICML 2021, arXiv 2012.12877"
SWIN = "Liu et al., Swin Transformer, ICCV 2021, arXiv 2103.14030"
SWIN_UNET = "Cao et al., Swin-Unet, ECCV Workshops 2022, arXiv 2105.05537"

BUILDERS: dict[str, str] = {  # family of backbones -> "module:function"
    "vit": "bench.models.backbones.vit:build_vit",
    "swin": "bench.models.backbones.swin:build_swin",
    "timm": "bench.models.backbones.any_timm:build_timm",
}

DECODERS: dict[str, str] = {  # name -> "module:function"
    "linear": "bench.models.decoders.linear:build_linear_decoder",
    "light": "bench.models.decoders.light:build_light_decoder",
    "upernet": "bench.models.decoders.upernet:build_upernet",
    "swin_unet": "bench.models.decoders.swin_unet:build_swin_unet",
}

BACKBONES: dict[str, BackboneInfo] = {
    info.name: replace(info, weights=catalogue.names(info.name))
    for info in (
        BackboneInfo(
            "tiny_vit",
            "Tiny ViT: 6 blocks, width 128, patch 8 (1.3 M parameters)",
            VIT,
            8,
            "vit",
            decoder="linear",
        ),
        BackboneInfo(
            "tiny_vit4",
            "Tiny ViT with patch 4: 6 blocks, width 128 (1.6 M parameters)",
            VIT,
            4,
            "vit",
            decoder="linear",
        ),
        BackboneInfo(
            "tiny_swin", "Tiny Swin: 2/2/2/2 blocks, width 24 (1.3 M parameters)", SWIN, 32, "swin"
        ),
        BackboneInfo(
            "vit_ti16", "ViT-Ti/16: 12 blocks, width 192 (5.5 M parameters)", DEIT, 16, "vit"
        ),
        BackboneInfo(
            "vit_s16", "ViT-S/16: 12 blocks, width 384 (22 M parameters)", DEIT, 16, "vit"
        ),
        BackboneInfo(
            "vit_b16",
            "ViT-B/16: 12 blocks, width 768 (86 M parameters)",
            VIT,
            16,
            "vit",
            decoder="upernet",
        ),
        BackboneInfo(  # Swin's authors decode its maps by UPerNet as well
            "swin_tiny",
            "Swin-T: 2/2/6/2 blocks, width 96 (28 M parameters)",
            SWIN,
            32,
            "swin",
            decoder="upernet",
        ),
        BackboneInfo(
            "swin_t_unet",
            "Swin-T U-Net: 2/2/2/2 blocks, width 96 (20 M parameters)",
            SWIN_UNET,
            32,
            "swin",
            decoder="swin_unet",
        ),
    )
}


def names() -> list[str]:
    """Return the names of all backbones."""
    return list(BACKBONES)


def check_name(name: str) -> str:
    """Return the name if there is such a backbone.

    Raises: ValueError with the nearest known name otherwise.
    """
    get(name)
    return name


def get(name: str) -> BackboneInfo:
    """Return the facts of a backbone, one of `names` or ``timm:`` and timm's name of a ViT or Swin-V1.

    Raises: ValueError if there is no such backbone, or if timm's is of another kind.
    """
    if name.startswith(TIMM):
        info: BackboneInfo = import_module("bench.models.backbones.any_timm").describe(name)
        return info
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone '{name}'{suggest(name, [*names(), TIMM + 'NAME'])}")
    return BACKBONES[name]


def check_fit(name: str, weights: str, image_size: tuple[int, int]) -> None:
    """Check that the backbone has these weights, or that they are a file, and that it takes slices of this size.

    Raises: ValueError with one sentence for the user.
    """
    info = get(name)
    if catalogue.is_path(weights):
        catalogue.check_path(weights)
    elif weights not in info.weights:
        raise ValueError(
            f"{name}: unknown weights '{weights}'{suggest(weights, list(info.weights))} (or a file)"
        )
    height, width = image_size
    if height % info.multiple_of or width % info.multiple_of:
        raise ValueError(
            f"{name}: slices must be divisible by {info.multiple_of}, got {height}x{width}"
        )


def check_weights(name: str, weights: str, image_size: tuple[int, int]) -> str:
    """Get the weights and read them once, without keeping them; return the SHA-256 of their file, or "" for none.

    Raises: ValueError with one sentence if they cannot be had, are damaged, or are of another
    architecture.
    """
    if weights == NONE:
        return ""
    import torch

    check_fit(name, weights, image_size)
    with torch.device("meta"):
        backbone = _build_random(name, 3, image_size, weights)
    return _load(backbone, weights).sha256


def build(name: str, in_channels: int, image_size: tuple[int, int], weights: str) -> Backbone:
    """Return a backbone for slices of ``in_channels`` channels and ``image_size`` (height, width) voxels.

    ``weights="none"`` draws from the present random state; there is no silent fallback to it.
    Raises: ValueError if name, weights or size do not fit, or if the weights cannot be had or read.
    """
    check_fit(name, weights, image_size)
    backbone = _build_random(name, in_channels, image_size, weights)
    if weights != NONE:
        backbone.loaded = _load(backbone, weights)
    return backbone


def _build_random(
    name: str, in_channels: int, image_size: tuple[int, int], weights: str
) -> Backbone:
    """Return the backbone with random numbers in it, in the form that these weights need."""
    info = get(name)
    entry = catalogue.find(name, weights)
    if entry is not None and entry.rebuild:
        info = replace(info, family="timm", architecture=entry.architecture)
    module, _, function = BUILDERS[info.family].partition(":")
    builder: Builder = getattr(import_module(module), function)
    return builder(info, in_channels, image_size)


def build_decoder(backbone: Backbone, n_classes: int) -> nn.Module:
    """Return the decoder that belongs to the backbone, initialised from the present random state."""
    module, _, function = DECODERS[get(backbone.name).decoder].partition(":")
    builder: DecoderBuilder = getattr(import_module(module), function)
    return builder(backbone, n_classes)


def _load(backbone: Backbone, weights: str) -> LoadedWeights:
    loaded: LoadedWeights = import_module("bench.models.weights.load").load_weights(
        backbone, weights
    )
    return loaded
