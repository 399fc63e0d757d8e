"""Read boxes of an array on disk some slices at a time, so that they stay in the processor's cache.

The rows of a box are read together with what is between them in the file, which takes less time
than the page faults of a mapped file.
"""

from collections.abc import Callable, Iterator
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

    def read_floats(
        self, target: np.ndarray, box: Box, channel: int, adjust: Callable[[np.ndarray], None]
    ) -> None:
        """Fill float32 (n, h, w), which may be a mirrored view; ``adjust`` changes each slab."""
        is_mirrored = min(target.strides) < 0  # which torch does not know
        slabs = np.empty((SLICES_AT_ONCE, *target.shape[1:]), np.float32) if is_mirrored else None
        for where, values in self.iter_slabs(box, channel):
            floats = target[where] if slabs is None else slabs[: len(values)]
            _convert_into(floats, values)
            adjust(floats)
            if slabs is not None:
                target[where] = floats


def _convert_into(floats: np.ndarray, values: np.ndarray) -> None:
    if values.dtype != np.float16:
        floats[:] = values
        return
    # NumPy takes six times as long for float16; what only prepares data does without torch
    import torch

    torch.from_numpy(floats).copy_(torch.from_numpy(values))
