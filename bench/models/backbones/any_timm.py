"""Any plain ViT or Swin-V1 of timm by its name.

What is refused: kinds whose attention reads ``qkv.weight`` without calling the module (Swin-V2,
BEiT, EVA), where a method put into ``qkv`` would silently do nothing; and blocks that are no plain
sum of an attention and an MLP branch.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from math import lcm
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models import is_model_in_modules
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from timm.models.swin_transformer import WindowAttention as TimmWindowAttention
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import nn

from bench.models.backbones.base import Backbone
from bench.models.backbones.info import NONE, TIMM, BackboneInfo
from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import ViTBackbone

KINDS = "timm's VisionTransformer or SwinTransformer (v1) with plain blocks and a learnt position embedding"


@lru_cache(maxsize=8)
def describe(name: str) -> BackboneInfo:
    """Return the facts of ``timm:ARCHITECTURE``; its weights are timm's tags of that architecture.

    Raises: ValueError if timm has no such model, or if methods cannot be put into it.
    """
    architecture = name.removeprefix(TIMM)
    if "." in architecture:
        architecture, _, tag = architecture.partition(".")
        raise ValueError(
            f"{name}: give the tag apart (--backbone {TIMM}{architecture} --weights {tag})"
        )
    if not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=1, cutoff=0.5)
        raise ValueError(
            f"{name}: timm has no such model"
            + (f" (did you mean '{TIMM}{close[0]}'?)" if close else "")
        )
    model = _outline(architecture)
    obstacle = _find_obstacle(model)
    if obstacle:
        raise ValueError(f"{name}: must be {KINDS}, got {obstacle}")
    tags = [
        each.partition(".")[2] for each in timm.list_models(f"{architecture}.*", pretrained=True)
    ]
    n_million = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return BackboneInfo(
        name=name,
        title=f"timm's {architecture} ({n_million:.1f} M parameters with its head)",
        reference=f"https://huggingface.co/timm/{architecture}.{tags[0]}"
        if tags
        else f"timm {timm.__version__}",
        multiple_of=_multiple_of(model),
        family="timm",
        weights=(NONE, *tags),
        architecture=architecture,
    )


def build_timm(info: BackboneInfo, in_channels: int, image_size: tuple[int, int]) -> Backbone:
    """Return timm's architecture without class token and head, as it is built by timm otherwise."""
    options: dict[str, Any] = {"in_chans": in_channels, "num_classes": 0}
    if is_model_in_modules(info.architecture, ["swin_transformer"]):
        windows = _scale_windows(info.architecture, image_size)
        options |= {"img_size": image_size, "window_size": windows}
        return SwinBackbone(
            info.name, timm.create_model(info.architecture, pretrained=False, **options)
        )
    vit = timm.create_model(
        info.architecture,
        pretrained=False,
        img_size=image_size,
        patch_size=info.multiple_of,
        class_token=False,
        reg_tokens=0,
        global_pool="",
        dynamic_img_size=False,
        final_norm=not isinstance(
            _outline(info.architecture).norm, nn.Identity
        ),  # some have it after pooling only
        **options,
    )
    return ViTBackbone(info.name, vit)


@lru_cache(maxsize=8)
def _outline(architecture: str) -> Any:
    """Return timm's network in its published size, without numbers in it."""
    with torch.device("meta"):
        return timm.create_model(architecture, pretrained=False)


def _find_obstacle(model: Any) -> str:
    """Return what hinders methods in a model, empty if nothing does."""
    if type(model) is SwinTransformer:
        blocks = [block for layer in model.layers for block in layer.blocks]
        plain = all(
            type(block) is SwinTransformerBlock and type(block.attn) is TimmWindowAttention
            for block in blocks
        )
        sides = {_windows_per_side(model, stage) for stage in range(len(model.layers))}
        if len(model.layers) != 4 or None in sides:
            return "windows that do not tile the grid"
    elif type(model) is VisionTransformer:
        if not isinstance(model.patch_embed, PatchEmbed):
            return f"{type(model.patch_embed).__name__} in front"
        if model.pos_embed is None:
            return "no learnt position embedding"
        blocks = list(model.blocks)
        plain = all(type(block) is Block and type(block.attn) is Attention for block in blocks)
    else:
        return type(model).__name__
    if plain and all(isinstance(getattr(block.mlp, "fc1", None), nn.Linear) for block in blocks):
        return ""
    return "blocks of " + " and ".join(
        type(part).__name__ for part in (blocks[0], *blocks[0].children())
    )


def _scale_windows(architecture: str, image_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the windows (height, width) of the stages in patches: the share of the grid that they have in timm."""
    swin = _outline(architecture)
    shares = [_windows_per_side(swin, stage) for stage in range(len(swin.layers))]
    height, width = (size // swin.patch_embed.patch_size[0] for size in image_size)
    return tuple((height // share, width // share) for share in shares if share)


def _windows_per_side(swin: Any, stage: int) -> int | None:
    """Return how many windows the first stage's grid would have along a side, None if the stage's do not tile it."""
    grid, remainder = divmod(swin.patch_embed.grid_size[0], 2**stage)
    window = swin._ref_window_sizes[stage][0]
    return None if remainder or grid % window else 2**stage * (grid // window)


def _multiple_of(model: Any) -> int:
    patch: int = model.patch_embed.patch_size[0]
    if isinstance(model, VisionTransformer):
        return patch
    return patch * lcm(
        2 ** (len(model.layers) - 1), *(_windows_per_side(model, stage) or 1 for stage in range(4))
    )
