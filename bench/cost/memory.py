"""What a training step holds in memory, and how to recognise that there was not enough of it.

Bytes are of distinct storages. Torch's saved-tensor hooks see every tensor that autograd keeps for
the backward pass; parameters and buffers are not counted again there.
"""

import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from reports.records.cost import Memory

MIB = 2**20
# of torch's CPU allocator, of CUDA itself and of its libraries
MESSAGE = "(?i)can't allocate memory|not enough memory|CUDA error: out of memory|_ALLOC_FAILED"
_earlier_peaks: dict[int, int] = {}  # of GPUs by index, in bytes, before torch's was last reset
HINT = "try --checkpointing, --slices-per-chunk, or a smaller data.patch or train.batch"


class MeasuredStep(Protocol):
    """One optimiser step, in the parts that are measured."""

    @property
    def optimizer(self) -> Any: ...  # has a ``state`` by parameter
    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor: ...
    def backward(self, loss: torch.Tensor) -> None: ...
    def update(self, loss: torch.Tensor) -> None: ...  # the backward pass included
    def repeat(self, batch: dict[str, torch.Tensor]) -> None: ...  # all that it accumulates


def measure_memory(model: nn.Module, step: MeasuredStep, batch: dict[str, torch.Tensor]) -> Memory:
    """Return what a step holds; the weights move. A step must have been carried out before."""
    saved = count_saved_bytes(model, lambda: step.loss(batch))
    peak, reserved = _find_peak(batch["image"].device, lambda: step.repeat(batch))
    gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
    state: list[torch.Tensor] = []
    for values in step.optimizer.state.values():
        state += filter(torch.is_tensor, values.values())
    return Memory(
        weights_mib=count_bytes([*model.parameters(), *model.buffers()]) / MIB,
        gradients_mib=count_bytes(gradients) / MIB,
        optimizer_mib=count_bytes(state) / MIB,
        saved_for_backward_mib=saved / MIB,
        peak_mib=peak,
        reserved_mib=reserved,
    )


def count_saved_bytes(model: nn.Module, forward: Callable[[], torch.Tensor]) -> int:
    """Return the bytes that autograd keeps beside the model's own; ``forward`` returns the loss."""
    own = {_address(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(_address(tensor), tensor)  # kept alive: no other tensor gets its address
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
    """Return the largest memory so far: allocated on a GPU, else the process's resident set.

    What `peak_left_out` leaves out is not in it.
    """
    if device.type == "cuda":
        return max(_earlier_peaks.get(_index_of(device), 0), peak_bytes(device)) / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 2**10


@contextmanager
def peak_left_out(device: torch.device) -> Iterator[None]:
    """Leave a block out of a GPU's peak: one that takes what is free, not what it needs."""
    if device.type != "cuda":
        yield
        return
    index = _index_of(device)
    before = max(_earlier_peaks.get(index, 0), peak_bytes(device))
    torch.cuda.reset_peak_memory_stats(device)
    try:
        yield
    finally:
        _earlier_peaks[index] = before
        torch.cuda.reset_peak_memory_stats(device)


def allocated_bytes(device: torch.device) -> int:
    """Return what tensors take on a GPU now; 0 on other devices."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def peak_bytes(device: torch.device) -> int:
    """Return what tensors took on a GPU at most since its peak was reset; 0 on other devices."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has not enough memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and re.search(MESSAGE, str(error)) is not None


def describe_out_of_memory(error: BaseException, device: str) -> str:
    """Return one sentence on such an error: device, amount that was asked for, and what helps."""
    asked = re.search(r"Tried to allocate ([\d.]+ \w+)|tried to allocate (\d+ bytes)", str(error))
    amount = f" when {asked[1] or asked[2]} more were asked for" if asked else ""
    return f"out of memory on {device}{amount} ({HINT})"


def _find_peak(device: torch.device, step: Callable[[], None]) -> tuple[float | None, float | None]:
    """Return a GPU's peaks over a step in MiB, allocated and reserved; None on other devices."""
    if device.type != "cuda":  # gradients are those of the step before
        return None, None
    torch.cuda.empty_cache()  # earlier work has reserved memory that is not this step's
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device)
    return peak / MIB, torch.cuda.max_memory_reserved(device) / MIB


def _index_of(device: torch.device) -> int:
    """Return the number of a GPU, which may be named without one."""
    return torch.cuda.current_device() if device.index is None else device.index


def _address(tensor: torch.Tensor) -> int:
    """Return the identity of a tensor's storage, which exists on the meta device as well."""
    return int(tensor.untyped_storage()._cdata)
