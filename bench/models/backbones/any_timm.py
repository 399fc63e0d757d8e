"""Any plain ViT or Swin-V1 of timm by its name.

Refused are kinds whose attention reads ``qkv.weight`` without calling the module (Swin-V2, BEiT,
EVA), where a method in ``qkv`` would do nothing; and blocks with other than two plain branches.
"""

from difflib import get_close_matches
from functools import lru_cache
from math import lcm
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from timm.models.swin_transformer import WindowAttention as TimmWindowAttention
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import nn

from bench.models.backbones.base import Backbone
from bench.models.backbones.info import NONE, TIMM, BackboneInfo
from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import ViTBackbone

KINDS = (
    "timm's VisionTransformer or SwinTransformer (v1) with plain blocks"
    " and a learnt position embedding"
)


@lru_cache(maxsize=8)
def describe(name: str) -> BackboneInfo:
    """Return the facts of ``timm:ARCHITECTURE``; its weights are timm's tags of that architecture.

    Raises: ValueError if timm has no such model, or if methods cannot be put into it.
    """
    architecture, dot, tag = name.removeprefix(TIMM).partition(".")
    if dot:
        raise ValueError(
            f"{name}: give the tag apart (--backbone {TIMM}{architecture} --weights {tag})"
        )
    if not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=1, cutoff=0.5)
        hint = f" (did you mean '{TIMM}{close[0]}'?)" if close else ""
        raise ValueError(f"{name}: timm has no such model{hint}")
    model = _outline(architecture)
    obstacle = _find_obstacle(model)
    if obstacle:
        raise ValueError(f"{name}: must be {KINDS}, got {obstacle}")
    published = timm.list_models(f"{architecture}.*", pretrained=True)
    reference = f"timm {timm.__version__}"
    if published:
        reference = f"https://huggingface.co/timm/{published[0]}"
    n_million = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    title = f"timm's {architecture} ({n_million:.1f} M parameters with its head)"
    multiple = _multiple_of(model)
    weights = (NONE, *(full_name.partition(".")[2] for full_name in published))
    is_swin = isinstance(model, SwinTransformer)
    facts = (title, reference, multiple, "timm", "light", weights, architecture, is_swin)
    return BackboneInfo(name, *facts)


def build_timm(info: BackboneInfo, in_channels: int, image_size: tuple[int, int]) -> Backbone:
    """Return timm's architecture without its head, as it is built by timm otherwise."""
    outline = _outline(info.architecture)
    options: dict[str, Any] = {"img_size": image_size, "in_chans": in_channels, "num_classes": 0}
    if isinstance(outline, SwinTransformer):
        options["window_size"] = _scale_windows(outline, image_size)
        return SwinBackbone(info.name, timm.create_model(info.architecture, **options))
    has_norm = not isinstance(outline.norm, nn.Identity)  # some norm after pooling only
    options |= {"patch_size": info.multiple_of, "dynamic_img_size": False, "final_norm": has_norm}
    if type(outline) is VisionTransformer:
        options["global_pool"] = ""  # a distilled one insists on its own, which is in no tap
    return ViTBackbone(info.name, timm.create_model(info.architecture, **options))


@lru_cache(maxsize=8)
def _outline(architecture: str) -> Any:
    """Return timm's network in its published size, without numbers in it."""
    with torch.device("meta"):
        return timm.create_model(architecture)


def _find_obstacle(model: Any) -> str:
    if type(model) is SwinTransformer:
        n_stages = len(model.layers)
        if n_stages != 4 or not all(_windows_per_side(model, stage) for stage in range(n_stages)):
            return "windows that do not tile the grid"
        blocks = [block for layer in model.layers for block in layer.blocks]
        return _find_odd_block(blocks, SwinTransformerBlock, TimmWindowAttention)
    if type(model) not in (VisionTransformer, VisionTransformerDistilled):
        return type(model).__name__
    if not isinstance(model.patch_embed, PatchEmbed):
        return f"{type(model.patch_embed).__name__} in front"
    if model.pos_embed is None:
        return "no learnt position embedding"
    return _find_odd_block(model.blocks, Block, Attention)


def _find_odd_block(blocks: Any, block_type: type, attention_type: type) -> str:
    for block in blocks:
        attention = getattr(block, "attn", None)
        is_plain = (type(block), type(attention)) == (block_type, attention_type)
        if not is_plain or not isinstance(getattr(block.mlp, "fc1", None), nn.Linear):
            parts = (type(part).__name__ for part in (blocks[0], *blocks[0].children()))
            return f"blocks of {' and '.join(parts)}"
    return ""


def _scale_windows(swin: Any, image_size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the windows (height, width) of the stages in patches: their share of timm's grid."""
    height, width = (size // swin.patch_embed.patch_size[0] for size in image_size)
    shares = (_windows_per_side(swin, stage) for stage in range(len(swin.layers)))
    return tuple((height // share, width // share) for share in shares)


def _windows_per_side(swin: Any, stage: int) -> int:
    """Return how many of the stage's windows fit along the first grid, 0 if they do not tile it."""
    grid, remainder = divmod(swin.patch_embed.grid_size[0], 2**stage)
    window = swin._ref_window_sizes[stage][0]
    if remainder or grid % window:
        return 0
    return 2**stage * (grid // window)


def _multiple_of(model: Any) -> int:
    patch: int = model.patch_embed.patch_size[0]
    if isinstance(model, VisionTransformer):
        return patch
    last = len(model.layers) - 1
    return patch * lcm(2**last, *(_windows_per_side(model, stage) for stage in range(last + 1)))
