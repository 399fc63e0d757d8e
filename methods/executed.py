"""How modules compute: all slices at once or in chunks, activations kept or computed again.

Neither changes results, with two exceptions: the last bits of a float, and random numbers in a
function that runs in chunks (LoRA's dropout), which are others of the same distribution. Only what
treats every slice for itself may run in chunks. A function within another one that is computed
twice is not computed a third time; batch norms count their statistics once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from methods.execution import Execution

Function = Callable[[torch.Tensor], torch.Tensor]
_IS_REPEATING: ContextVar[bool] = ContextVar("computing a second time", default=False)
_IS_WITHIN: ContextVar[bool] = ContextVar("within a function that is computed twice", default=False)


class Executed(nn.Module):
    """A module that follows its ``execution`` in `run_slices` and `run_once`."""

    execution = Execution()

    def run_slices(self, function: Function, x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)`` for x (slices, ...); the function takes every slice for itself."""
        size = self.execution.slices_per_chunk
        if not size:
            return self.run_once(function, x)
        parts = [self.run_once(function, chunk) for chunk in torch.split(x, size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def run_once(self, function: Function, x: torch.Tensor) -> torch.Tensor:
        """Return ``function(x)``, maybe computed twice; only batch norms' statistics may change."""
        if not self.execution.checkpointing or _IS_WITHIN.get() or not self._needs_graph(x):
            return function(x)
        if torch.compiler.is_compiling():  # its second pass has no effect beside its output
            return checkpoint(function, x, use_reentrant=False)
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        contexts = (_computing(), _computing(again=norms, repeating=True))
        return checkpoint(function, x, use_reentrant=False, context_fn=lambda: contexts)

    def _needs_graph(self, x: torch.Tensor) -> bool:
        tensors = [x, *self.parameters()]
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def is_repeating() -> bool:
    """Return whether a forward pass is computed again for the backward pass."""
    return _IS_REPEATING.get()


def set_execution(model: nn.Module, execution: Execution) -> None:
    """Set the execution of every module of a network that has one."""
    for module in model.modules():
        if isinstance(module, Executed):
            module.execution = execution


@contextmanager
def _computing(again: Sequence[_BatchNorm] = (), *, repeating: bool = False) -> Iterator[None]:
    """Mark a function computed twice; the second time, batch norms ``again`` move nothing."""
    token, repeated = _IS_WITHIN.set(True), _IS_REPEATING.set(repeating)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in again]
    for norm in again:
        norm.momentum, norm.num_batches_tracked = 0.0, None  # the batch is normalised as before
    try:
        yield
    finally:
        for norm, (momentum, n_batches) in zip(again, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, n_batches
        _IS_REPEATING.reset(repeated)
        _IS_WITHIN.reset(token)
