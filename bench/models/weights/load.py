"""Loading pre-trained weights: every tensor of both sides is accounted for, or it is an error.

timm's rules adapt patch embeddings of three channels to other numbers (summed for one, repeated and
scaled for more: R, G, B, R times 3/4 for four), and resample position embeddings and tables to the
built grid and windows. Class and register tokens are read, or, where the backbone has been told to
drop them, taken out with their positions.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path

import torch
from timm.models import adapt_input_conv, get_pretrained_cfg

from bench.models.backbones.base import Backbone
from bench.models.backbones.info import DROP, TIMM, LoadedWeights
from bench.models.finite import find_not_finite, shorten_names
from bench.models.weights.catalogue import EMBEDDED, MAY_CUT_BLOCKS, find, is_path
from bench.models.weights.checkpoints import PATCH_EMBED, State, file_sha256, read_checkpoint
from bench.models.weights.sources import fetch, find_embedded

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
TOKENS = ("cls_token", "dist_token", "reg_token", "register_tokens")  # the last one is Meta's name
DROPPED = re.compile(  # what a checkpoint may have more than a backbone
    r"(head|head_dist|fc_norm|pre_logits|attn_pool|decoder_\w+)(\..*)?"
    r"|.*\.(relative_position_index|attn_mask)"  # derived from the window
)


def load_weights(backbone: Backbone, weights: str) -> LoadedWeights:
    """Copy weights, given by name or as a file, into a backbone of timm's modules.

    Raises: ValueError if they cannot be had, read or placed; the backbone is unchanged then.
    """
    if is_path(weights):
        path = Path(weights).expanduser()
        return _copy(backbone, path, name=path.name, source=str(path.resolve()))
    if EMBEDDED.get(backbone.name) == weights:
        path = find_embedded(weights)
        return _copy(backbone, path, name=weights, source="embedded in the package")
    entry = find(backbone.name, weights)
    tag = entry.tag if entry else f"{backbone.name.removeprefix(TIMM)}.{weights}"
    loaded = _copy(backbone, fetch(tag, backbone.name), name=weights, source=f"timm {tag}")
    config = get_pretrained_cfg(tag)
    return replace(loaded, mean=tuple(config.mean), std=tuple(config.std)) if config else loaded


def timm_name(name: str) -> str:
    """Return timm's name of one of the backbone's tensors."""
    for own, timm_part in OWN_TO_TIMM:
        name = re.sub(own, timm_part, name)
    return name


def _copy(backbone: Backbone, path: Path, name: str, source: str) -> LoadedWeights:
    checkpoint = read_checkpoint(path)
    # half precision is for the disk
    state = {key: tensor.float() for key, tensor in checkpoint.state.items()}
    if damaged := find_not_finite(state):
        names = shorten_names(damaged)
        raise ValueError(f"weights: '{path}' must hold finite numbers, got others in {names}")
    unused = [*checkpoint.unused, *_take_surplus_blocks(state, backbone)]
    if backbone.prefix_tokens == DROP:
        unused += _take_tokens(state)
    try:
        converted = _convert(state, backbone)
        missing = _check(converted, checkpoint.may_lack, backbone)
    except ValueError as error:
        start = f"weights: '{path}' is of another architecture than {backbone.name}"
        raise ValueError(f"{start}{error}") from None
    as_read = set(map(id, state.values()))
    kept = set(map(id, converted.values()))  # timm renames and replaces
    for key, tensor in state.items():
        if key not in converted and id(tensor) not in kept:
            unused.append(key)
    matched: list[str] = []
    resampled: list[str] = []
    for own, target in backbone.state_dict().items():
        tensor = converted.pop(timm_name(own), target)
        if tensor is not target:
            target.copy_(tensor)
            (matched if id(tensor) in as_read else resampled).append(own)
    own_names = (tuple(sorted(matched)), tuple(sorted(resampled)), tuple(sorted(missing)))
    ignored = tuple(sorted([*unused, *converted]))
    return LoadedWeights(name, source, file_sha256(path), *own_names, ignored)


def _take_tokens(state: State) -> list[str]:
    """Take out class and register tokens, and their part of the position embedding; name them."""
    taken = [name for name in TOKENS if state.pop(name, None) is not None]
    if taken and "pos_embed" in state:
        n_tokens = state["pos_embed"].shape[1]
        n_extra = n_tokens - isqrt(n_tokens) ** 2
        if n_extra:
            state["pos_embed"] = state["pos_embed"][:, n_extra:]
            taken.append(f"pos_embed[:, :{n_extra}]")
    return taken


def _take_surplus_blocks(state: State, backbone: Backbone) -> list[str]:
    """Take out the blocks that a documented shallower backbone does not have; name them."""
    if backbone.name not in MAY_CUT_BLOCKS:
        return []
    known = set(map(_block_of, map(timm_name, backbone.state_dict())))
    surplus = [name for name in state if _block_of(name) not in known]
    for name in surplus:
        del state[name]
    return surplus


def _block_of(name: str) -> str:
    match = re.match(r"(layers\.\d+\.)?blocks\.\d+\.", name)
    return match[0] if match else ""


def _convert(state: State, backbone: Backbone) -> State:
    """Return the tensors under timm's present names, in the backbone's grid and channels."""
    try:
        converted = backbone.adapt_checkpoint(state)
        n_channels = backbone.patch_embed.proj.weight.shape[1]
        if converted[PATCH_EMBED].shape[1] == 3 != n_channels:
            converted[PATCH_EMBED] = adapt_input_conv(n_channels, converted[PATCH_EMBED])
    except (AttributeError, RuntimeError, LookupError, ValueError, AssertionError) as error:
        words = " ".join(str(error).split())[:120]  # timm's rules do not check
        raise ValueError(f" ({words})") from None
    return converted


def _check(converted: State, may_lack: Container[str], backbone: Backbone) -> list[str]:
    """Return the names of the tensors that this layout never has; raise on any other mismatch."""
    missing: list[str] = []
    lacking: list[str] = []
    misshapen: list[str] = []
    surplus = set(converted)
    for own, target in backbone.state_dict().items():
        key = timm_name(own)
        surplus.discard(key)
        if key in may_lack and key not in converted:
            missing.append(own)
        elif key not in converted:
            lacking.append(key)
        elif converted[key].shape != target.shape:
            misshapen.append(f"{key} {_shape(converted[key])} instead of {_shape(target)}")
    strange = [key for key in converted if key in surplus and not DROPPED.fullmatch(key)]
    faults = {"lacks": lacking, "has shapes": misshapen, "has what the backbone lacks:": strange}
    for fault, found in faults.items():
        if found:
            raise ValueError(f": it {fault} {shorten_names(found)} ({_find_hint(found)})")
    return missing


def _find_hint(names: Sequence[str]) -> str:
    if all(name.partition(" ")[0] in (*TOKENS, "pos_embed") for name in names):
        return "--set model.prefix_tokens=drop leaves out class and register tokens"
    return "--backbone timm:NAME builds others"


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
