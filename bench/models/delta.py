"""What a run leaves of a network: everything that differs from the pre-trained backbone, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from bench.models.segmenter import Segmenter


def delta_state(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return copies of the backbone's trained tensors, of the buffers of unfrozen modules, and of the decoder."""
    return {name: tensor.detach().clone() for name, tensor in _find_delta(model).items()}


@torch.no_grad()
def load_delta(model: Segmenter, state: Mapping[str, torch.Tensor]) -> None:
    """Put a delta into a network of the same backbone, method and decoder.

    Raises: ValueError naming the tensors that are missing, unexpected or of another shape; nothing
    is changed then.
    """
    present = _find_delta(model)
    problems = {
        "missing": sorted(present.keys() - state.keys()),
        "unexpected": sorted(state.keys() - present.keys()),
        "of another shape": [
            name
            for name in present.keys() & state.keys()
            if present[name].shape != state[name].shape
        ],
    }
    for problem, found in problems.items():
        if found:
            listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise ValueError(
                f"load_delta: {len(found)} tensors are {problem}: {listed} (another method or backbone?)"
            )
    for name, tensor in present.items():
        tensor.copy_(state[name])


def frozen_state(model: Segmenter) -> dict[str, torch.Tensor]:
    """Return the tensors that are not in the delta, uncopied: what a rebuilt network must have by itself."""
    kept = _find_delta(model).keys()
    return {name: tensor for name, tensor in model.state_dict().items() if name not in kept}


def hash_tensors(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, whatever the order and the device."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _find_delta(model: Segmenter) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {
        f"backbone.{name}": value for name, value in model.tuned_parameters().items()
    }
    frozen = set(map(id, model.backbone.frozen_modules))
    saved = model.backbone.state_dict(keep_vars=True)
    for module_name, module in model.backbone.named_modules():
        if id(module) not in frozen:
            for name, buffer in module.named_buffers(module_name, recurse=False):
                if name in saved:  # buffers that are derived from settings are not saved
                    found[f"backbone.{name}"] = buffer
    decoder = model.decoder.state_dict(keep_vars=True)
    return found | {f"decoder.{name}": value for name, value in decoder.items()}
