"""What a run needs: parameters and peak memory."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import torch

from bench.models.segmenter import Segmenter


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a segmenter.

    ``tuned`` are those of the backbone, injected modules included, that the method trains; ``other`` are those that the
    protocol trains beside every method.
    """

    total: int
    backbone: int
    tuned: int
    decoder: int
    other: int


def count_parameters(model: Segmenter) -> ParameterCount:
    """Return the exact counts; what trains is what requires a gradient."""
    backbone = sum(parameter.numel() for parameter in model.backbone.parameters())
    decoder = sum(parameter.numel() for parameter in model.decoder.parameters())
    trained = sum(parameter.numel() for parameter in model.tuned_parameters().values())
    other = sum(parameter.numel() for parameter in model.also_trained)
    return ParameterCount(backbone + decoder, backbone=backbone, tuned=trained - other, decoder=decoder, other=other)


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory used so far: the device allocator's on a GPU, the process's resident set on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
