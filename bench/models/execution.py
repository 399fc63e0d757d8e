"""How slice-wise modules compute: all slices at once or in chunks, keeping activations or computing them again.

Neither changes results, but for the last bits of a float. Only modules that treat every slice for itself may be
`SliceWise`; what sees a whole volume, or keeps statistics (batch norm), stays outside and so runs once, on all slices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Execution:
    """Memory against time.

    ``slices_per_chunk`` slices go through a module at once (0: all). With ``checkpointing`` only a module's input is
    kept for the backward pass, and its activations are computed a second time there.
    """

    checkpointing: bool = False
    slices_per_chunk: int = 0

    def __post_init__(self) -> None:
        """Raises: ValueError if the number of slices is negative."""
        if self.slices_per_chunk < 0:
            raise ValueError(f"execution: slices_per_chunk must be >= 0, got {self.slices_per_chunk} (0 = all at once)")

    def run(self, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)`` for x (slices, ...), a function that treats every slice for itself."""
        chunks = torch.split(x, self.slices_per_chunk) if self.slices_per_chunk else (x,)
        if self.checkpointing and torch.is_grad_enabled():
            parts = [checkpoint(function, chunk, use_reentrant=False) for chunk in chunks]
        else:
            parts = [function(chunk) for chunk in chunks]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


class SliceWise(nn.Module):
    """A module that treats every slice for itself, and runs as its ``execution`` says."""

    execution = Execution()


def set_execution(model: nn.Module, execution: Execution) -> None:
    """Let every slice-wise module of a network run in this way."""
    for module in model.modules():
        if isinstance(module, SliceWise):
            module.execution = execution
