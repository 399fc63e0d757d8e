"""Reading checkpoint files of several origins into tensors under timm's names; none can run code.

Layouts: timm's safetensors and .pth, Google's ``.npz`` of the original ViT, Microsoft's Swin, MAE
(with or without its decoder), MoCo v3 (base encoder), DINO (teacher), Segment Anything (encoder).
"""

import argparse
import hashlib
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import clean_state_dict
from timm.models.vision_transformer import VisionTransformer, _load_weights

from datasets.files import DAMAGE

State = dict[str, torch.Tensor]
PATCH_EMBED = "patch_embed.proj.weight"
WRAPPERS = ("model_ema", "state_dict_ema", "teacher", "model", "state_dict")
PREFIXES = ("base_encoder.", "backbone.", "encoder.", "image_encoder.")  # MoCo, DINO, others, SAM


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file."""

    state: State  # under timm's names
    unused: tuple[str, ...] = ()  # names that belong to no backbone
    may_lack: frozenset[str] = frozenset()  # never in this layout: stated, no error


class _Refusal(Exception):  # noqa: N818 - read_checkpoint turns it into an error
    """What is wrong with a file, without the file's name."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a file's tensors; raise a ValueError if it is damaged, no checkpoint, or has code."""
    try:
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return _read_npz(path)
        return _rename(load_file(path) if suffix == ".safetensors" else _read_pickle(path))
    except SafetensorError as error:
        raise ValueError(f"weights: '{path}' {_damaged(error)}") from None
    except _Refusal as refusal:
        raise ValueError(f"weights: '{path}' {refusal}") from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        # the files of MAE and timm hold plain settings beside the tensors; torch warns of pickles
        # that others wrote, and we raise
        settings = torch.serialization.safe_globals([argparse.Namespace])
        with settings, warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if re.search(r"unsupported (global|class)|global:? \S+\.\S+", str(error), re.IGNORECASE):
            rule = "must hold tensors only, got pickled code, which is never run"
            raise _Refusal(f"{rule} (save its state dict as .safetensors)") from None
        raise _damaged("no plain state dict") from None  # torch advises to run the file's code
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(error) from None  # what torch raises depends on where the file ends
    if not isinstance(content, dict):
        raise _Refusal(f"must hold a state dict, got {type(content).__name__}")
    for key in WRAPPERS:
        if isinstance(content.get(key), dict):
            return dict(content[key])
    return content


def _rename(raw: dict[str, Any]) -> Checkpoint:
    """Take off the prefixes of training code, and give Segment Anything's tensors timm's names."""
    tensors = {key: value for key, value in raw.items() if isinstance(value, torch.Tensor)}
    tensors = clean_state_dict(tensors)
    if any(key.startswith("visual.") for key in tensors):
        hint = "give timm's file, with --backbone timm:vit_base_patch16_clip_224"
        raise _Refusal(f"has CLIP's own layout, which does not tell its activation ({hint})")
    prefix = next((each for each in PREFIXES if f"{each}{PATCH_EMBED}" in tensors), "")
    unused = [key for key in tensors if not key.startswith(prefix)]
    state = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    if PATCH_EMBED not in state:
        found = ", ".join(list(tensors)[:3]) or "no tensors"
        raise _Refusal(f"must hold a ViT or Swin (no {PATCH_EMBED}), got {found}")
    if state.pop("mask_token", None) is not None:
        unused.append("mask_token")
    if any(key.endswith("attn.rel_pos_h") for key in state):
        return _rename_segment_anything(state, unused)
    return Checkpoint(state, tuple(unused))


def _rename_segment_anything(state: State, unused: list[str]) -> Checkpoint:
    renamed: State = {}
    for key, tensor in state.items():
        if ".rel_pos_" in key or key.startswith("neck."):
            unused.append(key)
        else:
            renamed[re.sub(r"\.mlp\.lin(\d)\.", r".mlp.fc\1.", key)] = tensor
    renamed["pos_embed"] = renamed["pos_embed"].flatten(1, 2)  # (1, h, w, E) -> (1, N, E)
    return Checkpoint(renamed, tuple(unused), frozenset({"norm.weight", "norm.bias"}))


def _read_npz(path: Path) -> Checkpoint:
    """Let timm convert the original ViT layout, through its network of the file's own size."""
    try:
        quiet = warnings.catch_warnings(action="ignore")
        with quiet, path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        vit = _build_like(arrays)
        _load_weights(vit, str(path))
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise _damaged(error) from None
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise _Refusal("must hold arrays only, got pickled objects") from None
        raise _damaged(error) from None
    except DAMAGE as error:  # timm's rules and numpy's do not check
        raise _Refusal(f"must have the layout of the original ViT .npz, got {error}") from None
    unused = tuple(key for key in arrays if "pre_logits/" in key)
    state = vit.state_dict()
    n_read = sum(array.size for key, array in arrays.items() if key not in unused)
    n_kept = sum(tensor.numel() for tensor in state.values())
    if n_read != n_kept:
        raise _Refusal(f"must hold the numbers of one ViT ({n_kept:,}), got {n_read:,}")
    return Checkpoint(dict(state), unused)


def _build_like(arrays: dict[str, np.ndarray]) -> VisionTransformer:
    """Return timm's network with the sizes of the arrays, its tensors not yet filled."""
    pattern = re.compile(r"(.*)Transformer/encoderblock_(\d+)/MlpBlock_3/Dense_0/kernel")
    blocks = list(filter(None, map(pattern.match, arrays)))
    if not blocks:
        raise KeyError("no 'Transformer/encoderblock_0/...' in it")
    prefix, n_blocks = blocks[0][1], len(blocks)
    if {match[2] for match in blocks} != set(map(str, range(n_blocks))):
        raise KeyError("blocks must be numbered from 0 on")
    first = f"{prefix}Transformer/encoderblock_0/"
    height, width, n_channels, embed_dim = arrays[f"{prefix}embedding/kernel"].shape
    has_class = f"{prefix}cls" in arrays
    n_patches = arrays[f"{prefix}Transformer/posembed_input/pos_embedding"].shape[1] - has_class
    side = int(n_patches**0.5)
    options: dict[str, Any] = {
        "img_size": (side * height, side * width),
        "patch_size": (height, width),
        "in_chans": n_channels,
        "num_classes": len(arrays.get(f"{prefix}head/bias", ())),
        "global_pool": "token" if has_class else "",
        "class_token": has_class,
        "embed_dim": embed_dim,
        "depth": n_blocks,
        "num_heads": arrays[f"{first}MultiHeadDotProductAttention_1/query/kernel"].shape[1],
        "mlp_ratio": arrays[f"{first}MlpBlock_3/Dense_0/kernel"].shape[1] / embed_dim,
    }
    with torch.device("meta"):
        return VisionTransformer(**options).to_empty(device="cpu")


def _damaged(error: BaseException | str) -> _Refusal:
    words = " ".join(str(error).split())[:120] or type(error).__name__
    return _Refusal(f"is truncated, damaged or no checkpoint ({words})")
