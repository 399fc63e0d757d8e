"""Read boxes of an array on disk some slices at a time, so that they stay in the processor's cache.

The rows of a box are read together with what is between them in the file, which takes less time
than the page faults of a mapped file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from datasets.base import DataError
from datasets.prepared.frame import SLICES_AT_ONCE

Box = tuple[slice, ...]  # (D, H, W), each with a start and an end


@dataclass(frozen=True)
class ArrayFile:
    """A volume (D, H, W), or channels (C, D, H, W), in a .npy file."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # bytes before the first voxel

    @classmethod
    def find(cls, path: Path) -> Self:
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            return cls(path, shape, dtype, stream.tell())

    def iter_slabs(self, box: Box, channel: int = 0) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the box: which, and their values (n, h, w), valid until the next ones.

        Raises: DataError if the file ends early.
        """
        depth, height, width = self.shape[-3:]
        d, h, w = box
        rows = np.empty((SLICES_AT_ONCE, h.stop - h.start, width), dtype=self.dtype)
        with self.path.open("rb", buffering=0) as stream:
            for first in range(d.start, d.stop, SLICES_AT_ONCE):
                slab = rows[: d.stop - first]
                for z, plane in enumerate(slab, start=channel * depth + first):
                    stream.seek(self.offset + (z * height + h.start) * width * self.dtype.itemsize)
                    if stream.readinto(plane) < plane.nbytes:
                        hint = "remove its folder, and it is prepared again"
                        raise DataError(f"{self.path} ends early ({hint})")
                yield slice(first - d.start, first - d.start + len(slab)), slab[..., w]

    def iter_float_slabs(self, box: Box, channel: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield as `iter_slabs`, in float32, which may be changed."""
        # NumPy takes six times as long for float16; what only prepares data does without torch
        import torch

        sizes = [each.stop - each.start for each in box]
        floats = np.empty((min(SLICES_AT_ONCE, sizes[0]), *sizes[1:]), dtype=np.float32)
        for where, values in self.iter_slabs(box, channel):
            slab = floats[: len(values)]
            torch.from_numpy(slab).copy_(torch.from_numpy(values))
            yield where, slab
