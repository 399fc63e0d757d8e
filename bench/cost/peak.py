"""The largest memory of a training step, found without the device and without its memory.

The step is carried out on torch's meta device. A dispatch mode sees every tensor, and a storage
counts from the operation that makes it until the last reference is gone, in the blocks of 512 bytes
that CUDA's allocator hands out. Workspaces of libraries are not seen.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # bytes


class MemoryLedger(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Counts the bytes of the storages that are alive while it is on; ``peak`` is the largest."""

    def __init__(self, tensors: Iterable[torch.Tensor] = ()) -> None:
        """``tensors`` exist already."""
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.known: set[int] = set()
        self.current = 0
        self.peak = 0
        for tensor in tensors:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        n_bytes = -(-storage.nbytes() // BLOCK) * BLOCK
        self.known.add(key)
        self.current += n_bytes
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._remove, key, n_bytes)

    def _remove(self, key: int, n_bytes: int) -> None:
        self.known.discard(key)
        self.current -= n_bytes


def find_peak_bytes(tensors: Iterable[torch.Tensor], function: Callable[[], object]) -> int:
    """Return the largest sum of bytes while a function runs, with those of ``tensors``."""
    with MemoryLedger(tensors) as ledger:
        function()
    return ledger.peak
