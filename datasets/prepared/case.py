"""A prepared case: arrays on disk, read patch by patch.

The folder of a case holds

* ``image.npy``       (C, D, H, W); MRI: float16, normalised; CT: int16, Hounsfield units as stored in the file
* ``label.npy``       uint8 (D, H, W), training classes
* ``foreground.npy``  int32 (n, 3), voxels (d, h, w) of class 1, then of class 2, ...; at most 10 000 a class
* ``sample.npy``      int16 (C, n), Hounsfield units of foreground voxels, at most 10 000; CT only
* ``reference.npy``   uint8, the classes on the file's own grid; only where `label.npy` cannot be brought back exactly
* ``case.json``       identity, spacing, what is needed to write a prediction onto the file's grid

Without a label, only the first and the last are there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import DataError, VolumeShape, Window
from datasets.prepared.frame import Frame
from datasets.prepared.slabs import ArrayFile, Box

IMAGE, LABEL, FOREGROUND, RECORD = "image.npy", "label.npy", "foreground.npy", "case.json"
SAMPLE, REFERENCE = "sample.npy", "reference.npy"


@dataclass(frozen=True)
class PreparedCase:
    """One prepared case; holds no array, so it is cheap to send to a worker."""

    id: str
    folder: Path
    spacing_mm: tuple[
        float, float, float
    ]  # (D, H, W) order, of the file's grid, on which scores are computed
    shape: VolumeShape  # of the prepared arrays
    n_foreground: tuple[int, ...]  # sampled voxels of class 1, 2, ...; empty without a label
    spacing_known: bool = (
        True  # False: the file says 1 mm, which is not so; lengths in mm mean nothing
    )
    window: Window | None = None  # of CT; None for MRI, and for CT until a window is chosen

    def image(self) -> np.ndarray:
        """Return the channels as the model sees them, float32 (C, D, H, W)."""
        stored = ArrayFile.find(self.folder / IMAGE)
        image = np.empty(stored.shape, dtype=np.float32)
        self._scale_into(image, stored, tuple(slice(0, size) for size in self.shape))
        return image

    def read_patch(self, start: VolumeShape, patch: VolumeShape) -> tuple[np.ndarray, np.ndarray]:
        """Return image (C, *patch), float32, and classes, uint8, of the patch that begins at ``start``.

        Nothing else is read. Outside the volume both are 0.

        Raises: DataError if the case has no label.
        """
        stored, classes = ArrayFile.find(self.folder / IMAGE), ArrayFile.find(self._label_path())
        source, target = _overlap(start, patch, self.shape)
        new_array = np.empty if target == tuple(slice(0, size) for size in patch) else np.zeros
        image = new_array((stored.shape[0], *patch), dtype=np.float32)
        label = new_array(patch, dtype=np.uint8)
        self._scale_into(image[(slice(None), *target)], stored, source)
        for where, values in classes.iter_slabs(source):
            label[target][where] = values
        return image, label

    def label(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """Return the training classes, uint8 (D, H, W), read from disk as they are touched.

        Raises: DataError if the case has no label.
        """
        return _open_array(self._label_path())

    def foreground(self) -> list[np.ndarray]:
        """Return sampled voxels (d, h, w) of class 1, 2, ..., each int32 (n, 3); n is 0 where the class is absent."""
        voxels = _open_array(self.folder / FOREGROUND)
        return np.split(voxels, np.cumsum(self.n_foreground)[:-1])

    def sample(self) -> np.ndarray:
        """Return Hounsfield units of foreground voxels, spread evenly over all of them, int16 (C, n)."""
        values: np.ndarray = np.load(self.folder / SAMPLE)
        return values

    def reference(self) -> np.ndarray:
        """Return the training classes on the file's own grid, uint8 (D, H, W)."""
        if (self.folder / REFERENCE).is_file():
            return _open_array(self.folder / REFERENCE)
        return self.restore(self.label())

    def restore(self, classes: np.ndarray) -> np.ndarray:
        """Return a class map of the prepared shape on the file's own grid, uint8 (D, H, W), background around it."""
        return self.frame().restore(classes)

    def frame(self) -> Frame:
        """Return where the prepared arrays lie in the file."""
        return Frame.from_record(json.loads((self.folder / RECORD).read_text()))

    def _label_path(self) -> Path:
        if not self.n_foreground:
            raise DataError(f"case {self.id} has no label")
        return self.folder / LABEL

    def _scale_into(self, image: np.ndarray, stored: ArrayFile, box: Box) -> None:
        """Write a box of the stored channels as the model sees it, image (C, *box)."""
        if self.window is None and stored.dtype != np.float16:
            raise DataError(
                f"case {self.id}: a window must be chosen before CT is read (data.ct_norm)"
            )
        for channel, target in enumerate(image):
            for where, values in stored.iter_slabs(box, channel):
                slab = target[where]
                slab[:] = values
                if self.window is not None:
                    self.window.scale_in_place(slab)


def _overlap(start: VolumeShape, patch: VolumeShape, shape: VolumeShape) -> tuple[Box, Box]:
    """Return where the patch lies in the volume, and where that part lies in the patch."""
    source, target = [], []
    for first, size, whole in zip(start, patch, shape, strict=True):
        low = max(first, 0)
        high = max(low, min(first + size, whole))
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    return tuple(source), tuple(target)


def _open_array(path: Path) -> np.memmap[Any, Any]:
    array = np.load(path, mmap_mode="r")
    assert isinstance(array, np.memmap)
    return array
