"""Memory of batches, which is used again when nobody holds a batch any more.

A new array of many megabytes comes from the system page by page, which takes as long as reading a
patch into it. torch keeps the pinned memory of a GPU's batches in the same way.
"""

import math
import weakref
from collections import defaultdict
from typing import Protocol

import numpy as np
import torch


class Empty(Protocol):
    """Makes a tensor with any content."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype) -> torch.Tensor: ...


class Memory:
    """Gives out tensors; several threads may ask at once."""

    def __init__(self) -> None:
        self.free: dict[int, list[np.ndarray]] = defaultdict(list)  # by size in bytes

    def empty(self, shape: tuple[int, ...], *, dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor with any content, whose memory comes back when the last view is gone."""
        n_bytes = math.prod(shape) * dtype.itemsize
        try:
            block = self.free[n_bytes].pop()
        except IndexError:
            block = np.empty(n_bytes, dtype=np.uint8)
        lent = block[:]  # an object of its own, which the tensor holds
        weakref.finalize(lent, self.free[n_bytes].append, block).atexit = False
        return torch.from_numpy(lent).view(dtype).view(shape)


def empty_new(shape: tuple[int, ...], *, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor with any content, in memory of its own."""
    return torch.empty(shape, dtype=dtype)


def empty_pinned(shape: tuple[int, ...], *, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor with any content, which a GPU copies while it computes."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)
