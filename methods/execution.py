"""How modules compute: all slices at once or in chunks, keeping activations or computing them again.

Neither changes results, but for the last bits of a float, and for one thing: what draws random numbers inside a
function that runs in chunks (LoRA's dropout) draws other ones than for all slices at once, of the same distribution.
Only what treats every slice for itself may run in chunks; what keeps statistics (batch norm) must run only once.
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

    def run_slices(self, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)`` for x (slices, ...), a function that treats every slice for itself."""
        chunks = torch.split(x, self.slices_per_chunk) if self.slices_per_chunk else (x,)
        parts = [self.run(function, chunk) for chunk in chunks]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def run(self, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)``, computed at once; the function leaves nothing behind and may run twice."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(function, x, use_reentrant=False)
        return function(x)


class Executed(nn.Module):
    """A module that runs as its ``execution`` says."""

    execution = Execution()


def set_execution(model: nn.Module, execution: Execution) -> None:
    """Let every module of a network that can run in this way."""
    for module in model.modules():
        if isinstance(module, Executed):
            module.execution = execution
