"""The delta of a network: all that differs from the pre-trained backbone, and nothing else."""

import hashlib
from collections.abc import Iterable, Mapping

import torch

from bench.models.hooks import shape_like
from bench.models.segmenter import Segmenter


def delta_state(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return copies of the trained tensors, the buffers of unfrozen modules, and the decoder."""
    return copy_tensors(_find_delta(model))


def copy_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return copies without gradients."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def load_delta(model: Segmenter, state: Mapping[str, torch.Tensor]) -> None:
    """Put a delta into a network of the same backbone, method and decoder.

    Raises: ValueError naming the tensors that are missing, unexpected or of another shape; nothing
    is changed then.
    """
    shape_like(model, state)
    present = _find_delta(model)
    _refuse("missing", present.keys() - state.keys())
    _refuse("unexpected", state.keys() - present.keys())
    differ = (name for name, tensor in present.items() if tensor.shape != state[name].shape)
    _refuse("of another shape", differ)
    for name, tensor in present.items():
        tensor.copy_(state[name])


def training_state(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return copies of all that training may change: the delta, and buffers that are not saved."""
    return copy_tensors(_find_delta(model) | _find_unsaved(model))


@torch.no_grad()
def load_training_state(model: Segmenter, state: Mapping[str, torch.Tensor]) -> None:
    """Put a `training_state` into a network of the same kind. Raises: as `load_delta`."""
    unsaved = _find_unsaved(model)
    load_delta(model, {name: state[name] for name in state if name not in unsaved})
    for name, tensor in _find_unsaved(model).items():
        tensor.copy_(state[name])


def frozen_state(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return the tensors outside the delta, uncopied: what a rebuilt network has by itself."""
    kept = set(map(id, _find_delta(model).values()))  # some networks have a tensor by two names
    state = model.state_dict(keep_vars=True).items()
    return {name: tensor for name, tensor in state if id(tensor) not in kept}


def hash_tensors(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes; order and device do not count."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _find_delta(model: Segmenter) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = dict(model.tuned_parameters())
    frozen = set(map(id, model.backbone.frozen_modules))
    for module_name, module in model.backbone.named_modules():
        if id(module) not in frozen:
            found |= module.named_buffers(module_name, recurse=False)
    # buffers that are derived from settings are not saved
    saved = model.backbone.state_dict().keys()
    delta = {f"backbone.{name}": found[name] for name in found if name in saved}
    return {**delta, **model.decoder.state_dict(prefix="decoder.", keep_vars=True)}


def _find_unsaved(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return the buffers of unfrozen modules that are derived from settings, or only used there."""
    frozen = set(map(id, model.backbone.frozen_modules))
    saved = model.state_dict().keys()
    found: dict[str, torch.Tensor] = {}
    for module_name, module in model.named_modules():
        if id(module) not in frozen:
            found |= module.named_buffers(module_name, recurse=False)
    return {name: buffer for name, buffer in found.items() if name not in saved}


def _refuse(problem: str, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        hint = "another method or backbone?"
        raise ValueError(f"load_delta: {len(found)} tensors are {problem}: {listed} ({hint})")
