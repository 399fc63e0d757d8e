"""Loading pre-trained weights into a backbone: every tensor of both sides is accounted for, or it is an error.

Patch embeddings of three channels are adapted to other numbers by timm's rule: summed for one,
repeated and scaled for more (R, G, B, R times 3/4 for four). Position embeddings and
relative-position tables are resampled to the built grid and windows by timm's interpolation.
Nothing reads class and register tokens in dense prediction, so they are dropped.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from timm.models import adapt_input_conv, get_pretrained_cfg
from timm.models import swin_transformer as timm_swin
from timm.models import vision_transformer as timm_vit

from bench.models.backbones.base import Backbone
from bench.models.backbones.info import NONE, LoadedWeights
from bench.models.backbones.swin import SwinBackbone, WindowAttention
from bench.models.weights.catalogue import EMBEDDED, MAY_CUT_BLOCKS, find, is_path
from bench.models.weights.checkpoints import Checkpoint, State, file_sha256, read_checkpoint
from bench.models.weights.embedded import find_embedded
from bench.models.weights.hub import fetch

PATCH_EMBED = "patch_embed.proj.weight"
OWN_TO_TIMM = (
    (r"\.attn_branch\.norm\.", ".norm1."),
    (r"\.mlp_branch\.norm\.", ".norm2."),
    (r"\.attn_branch\.inner\.", ".attn."),
    (r"\.mlp_branch\.inner\.", ".mlp."),
    (r"\.attn_branch\.scale\.", ".ls1."),
    (r"\.mlp_branch\.scale\.", ".ls2."),
    (r"^stages\.(\d+)\.merging\.", r"layers.\1.downsample."),
    (r"^stages\.", "layers."),
)
TOKENS = ("cls_token", "dist_token", "reg_token", "register_tokens")
DROPPED = (  # what a checkpoint may have more than a backbone
    *TOKENS,
    r"(head|head_dist|fc_norm|pre_logits|attn_pool|decoder_\w+)(\..*)?",
    r".*\.(relative_position_index|attn_mask)",  # derived from the window
)


def load_weights(backbone: Backbone, weights: str) -> LoadedWeights:
    """Copy weights, given by name or as a file, into a backbone of timm's modules.

    Raises: ValueError with one sentence if they cannot be had, cannot be read, or are of another
    architecture;
        the backbone is unchanged then.
    """
    tag = _find_tag(backbone.name, weights)
    embedded = _is_embedded(backbone.name, weights)
    path = (
        find_embedded(weights)
        if embedded
        else Path(weights).expanduser()
        if tag is None
        else fetch(tag, backbone.name)
    )
    checkpoint = read_checkpoint(path)
    state = {
        name: tensor.float() for name, tensor in checkpoint.state.items()
    }  # half precision is for the disk
    unused = [*checkpoint.unused, *_take_tokens(state), *_take_surplus_blocks(state, backbone)]
    converted = _convert(path, state, backbone)
    own = {timm_name(name): name for name in backbone.state_dict()}
    _check(path, checkpoint, state, converted, backbone, own)
    target = backbone.state_dict()
    as_read, kept = (
        set(map(id, state.values())),
        set(map(id, converted.values())),
    )  # timm renames and replaces
    unused += [name for name in state.keys() - converted.keys() if id(state[name]) not in kept]
    unused += [name for name in converted if name not in own]
    found = own.keys() & converted.keys()
    for name in found:
        target[own[name]].copy_(converted[name])
    config = get_pretrained_cfg(tag) if tag else None
    return LoadedWeights(
        name=path.name if tag is None and not embedded else weights,
        source="embedded in the package"
        if embedded
        else str(path.resolve())
        if tag is None
        else f"timm {tag}",
        sha256=file_sha256(path),
        matched=tuple(sorted(own[name] for name in found if id(converted[name]) in as_read)),
        resampled=tuple(sorted(own[name] for name in found if id(converted[name]) not in as_read)),
        missing=tuple(sorted(own[name] for name in own.keys() - converted.keys())),
        unused=tuple(sorted(unused)),
        mean=tuple(config.mean) if config else (),
        std=tuple(config.std) if config else (),
    )


def _find_tag(backbone: str, weights: str) -> str | None:
    """Return timm's name of the weights, or None for a file and for what ships with the package."""
    assert weights != NONE
    if is_path(weights) or _is_embedded(backbone, weights):
        return None
    entry = find(backbone, weights)
    return entry.tag if entry else f"{backbone.removeprefix('timm:')}.{weights}"


def _is_embedded(backbone: str, weights: str) -> bool:
    return EMBEDDED.get(backbone) == weights


def timm_name(name: str) -> str:
    """Return timm's name of one of the backbone's tensors."""
    for own, timm_name in OWN_TO_TIMM:
        name = re.sub(own, timm_name, name)
    return name


def _take_tokens(state: State) -> list[str]:
    """Take the class and register tokens out, and their part of the position embedding; return what was taken."""
    taken = [name for name in TOKENS if state.pop(name, None) is not None]
    if taken and "pos_embed" in state:
        n_tokens = state["pos_embed"].shape[1]
        n_extra = n_tokens - isqrt(n_tokens) ** 2
        if n_extra:
            state["pos_embed"] = state["pos_embed"][:, n_extra:]
            taken.append(f"pos_embed[:, :{n_extra}]")
    return taken


def _take_surplus_blocks(state: State, backbone: Backbone) -> list[str]:
    """Take out the blocks that a documented shallower backbone does not have."""
    if backbone.name not in MAY_CUT_BLOCKS:
        return []
    known = {_block_of(timm_name(name)) for name in backbone.state_dict()}
    surplus = [name for name in state if _block_of(name) and _block_of(name) not in known]
    for name in surplus:
        del state[name]
    return surplus


def _block_of(name: str) -> str | None:
    match = re.match(r"(layers\.\d+\.)?blocks\.\d+\.", name)
    return match[0] if match else None


def _convert(path: Path, state: State, backbone: Any) -> State:
    """Return the tensors under today's names of timm, resampled to the backbone's grid, windows and channels."""
    try:
        if isinstance(backbone, SwinBackbone):
            with warnings.catch_warnings():  # of torch, about the style of timm's interpolation
                warnings.filterwarnings("ignore", module=r"timm\.layers\.interpolate")
                converted: State = timm_swin.checkpoint_filter_fn(state, _SwinView(backbone))
        else:
            view = SimpleNamespace(
                patch_embed=backbone.patch_embed, pos_embed=backbone.pos_embed, num_prefix_tokens=0
            )
            converted = timm_vit.checkpoint_filter_fn(state, view, adapt_layer_scale=True)
        n_channels = backbone.patch_embed.proj.weight.shape[1]
        if converted[PATCH_EMBED].shape[1] == 3 != n_channels:
            converted[PATCH_EMBED] = adapt_input_conv(n_channels, converted[PATCH_EMBED])
    except (
        AttributeError,
        RuntimeError,
        LookupError,
        ValueError,
        AssertionError,
    ) as error:  # timm's rules do not check
        words = " ".join(str(error).split())[:120]
        raise ValueError(
            f"weights: '{path}' is of another architecture than {backbone.name} ({words})"
        ) from None
    return converted


class _SwinView:
    """A backbone as timm's rule for Swin checkpoints wants to see it."""

    def __init__(self, backbone: SwinBackbone) -> None:
        self.patch_embed = backbone.patch_embed
        modules = {timm_name(f"{name}.")[:-1]: module for name, module in backbone.named_modules()}
        self._attention = {
            name: each for name, each in modules.items() if isinstance(each, WindowAttention)
        }

    def get_submodule(self, name: str) -> SimpleNamespace:
        """Return what is asked of an attention: its table of position biases and its window."""
        if name not in self._attention:
            raise AttributeError(f"it has no {name}")
        attention = self._attention[name]
        return SimpleNamespace(
            relative_position_bias_table=attention.relative_position_bias_table,
            window_size=attention.window,
        )


def _check(
    path: Path,
    checkpoint: Checkpoint,
    state: State,
    converted: State,
    backbone: Backbone,
    own: Mapping[str, str],
) -> None:
    target = backbone.state_dict()
    missing = [name for name in own if name not in converted and name not in checkpoint.may_lack]
    shapes = [
        f"{name} {_shape(converted[name])} instead of {_shape(target[own[name]])}"
        for name in own
        if name in converted and converted[name].shape != target[own[name]].shape
    ]
    surplus = [
        name
        for name in converted
        if name not in own and not any(re.fullmatch(pattern, name) for pattern in DROPPED)
    ]
    for problem, found in {
        "lacks": missing,
        "has shapes": shapes,
        "has what the backbone lacks:": surplus,
    }.items():
        if found:
            listed = ", ".join(found[:3]) + (
                f" and {len(found) - 3} more" if len(found) > 3 else ""
            )
            where = f"weights: '{path}' is of another architecture than {backbone.name}"
            raise ValueError(f"{where}: it {problem} {listed} (--backbone timm:NAME builds others)")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
