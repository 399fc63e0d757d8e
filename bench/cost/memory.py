"""What a training step holds in memory, and how to tell that there was not enough of it.

Bytes are of distinct storages. What autograd keeps for the backward pass is seen by torch's
saved-tensor hooks, which are told every tensor that it keeps; parameters and buffers are not
counted again there.
"""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import nn

from reports.records.run import Memory

MIB = 2**20
CPU_MESSAGE = re.compile(
    r"can't allocate memory|not enough memory", re.IGNORECASE
)  # of torch's CPU allocator
HINT = "try --checkpointing, --slices-per-chunk, or a smaller data.patch or train.batch"


class MeasuredStep(Protocol):
    """One optimiser step, in the parts that are measured."""

    @property
    def optimizer(self) -> Any:
        """The optimiser, with its ``state`` by parameter."""

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch that is on the device."""

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients."""

    def update(self, loss: torch.Tensor) -> None:
        """Compute the gradients and move the weights."""


def measure_memory(model: nn.Module, step: MeasuredStep, batch: dict[str, torch.Tensor]) -> Memory:
    """Return what one step on a batch holds; the weights move.

    The optimiser must have made a step before, so that its state is there.
    """
    saved = count_saved_bytes(model, lambda: step.loss(batch))
    peak, reserved = _watch_peak(batch["image"].device, lambda: step.update(step.loss(batch)))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    state = [value for values in step.optimizer.state.values() for value in values.values()]
    return Memory(
        weights_mib=count_bytes([*model.parameters(), *model.buffers()]) / MIB,
        gradients_mib=count_bytes(
            parameter.grad for parameter in trained if parameter.grad is not None
        )
        / MIB,
        optimizer_mib=count_bytes(value for value in state if isinstance(value, torch.Tensor))
        / MIB,
        saved_for_backward_mib=saved / MIB,
        peak_mib=peak,
        reserved_mib=reserved,
    )


def count_saved_bytes(model: nn.Module, forward: Callable[[], torch.Tensor]) -> int:
    """Return the bytes that autograd keeps of a forward pass for its backward pass.

    ``forward`` returns the loss. The model's own parameters and buffers are left out.
    """
    own = {_address(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(_address(tensor), tensor)  # held, so that no other tensor gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    n_bytes = count_bytes(tensor for address, tensor in kept.items() if address not in own)
    del loss  # the graph lives until here, as it does in training
    return n_bytes


def count_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of the distinct storages of some tensors."""
    return sum({_address(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory used so far: the device allocator's on a GPU, the process's resident set on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 2**10


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has not enough memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and CPU_MESSAGE.search(str(error)) is not None


def describe_out_of_memory(error: BaseException, device: str) -> str:
    """Return one sentence on such an error: where, how much was asked for if it says so, and what helps."""
    asked = re.search(r"Tried to allocate ([\d.]+ \w+)|tried to allocate (\d+ bytes)", str(error))
    amount = f" when {asked[1] or asked[2]} more were asked for" if asked else ""
    return f"out of memory on {device}{amount} ({HINT})"


def _watch_peak(
    device: torch.device, step: Callable[[], None]
) -> tuple[float | None, float | None]:
    """Return the peaks of a GPU's allocator over a step, allocated and reserved, in MiB; None on other devices."""
    if device.type != "cuda":
        step()
        return None, None
    torch.cuda.empty_cache()  # what earlier work has reserved is not this step's
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / MIB, torch.cuda.max_memory_reserved(
        device
    ) / MIB


def _address(tensor: torch.Tensor) -> int:
    """Return what tells a tensor's storage from all others, on the meta device as well, where none has a place."""
    return int(tensor.untyped_storage()._cdata)
