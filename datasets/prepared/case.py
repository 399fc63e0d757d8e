"""A prepared case: arrays on disk, read patch by patch.

The folder of a case holds

* ``image.npy``       (C, D, H, W); MRI: float16, normalised; CT: int16, Hounsfield units
* ``label.npy``       uint8 (D, H, W), training classes
* ``foreground.npy``  int32 (n, 3), voxels (d, h, w) of class 1, then 2, ...; at most 10 000 a class
* ``sample.npy``      int16 (C, n), Hounsfield units of at most 10 000 foreground voxels; CT only
* ``reference.npy``   uint8, classes on the file's own grid; only if `label.npy` cannot restore them
* ``case.json``       identity, spacing, how to write a prediction onto the file's grid, checksums

Without a label there are only the first and the last. An array is verified when a process opens it
for the first time; a damaged one is prepared again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import DataError, DatasetInfo, SpacingMm, VolumeShape, Window
from datasets.files import read_record
from datasets.prepared.augment import UNCHANGED, Change
from datasets.prepared.frame import Frame
from datasets.prepared.integrity import FILES, DamagedError, is_verified, verify
from datasets.prepared.slabs import ArrayFile, Box

WAY_OUT = "remove its folder, and the case is prepared again"
IMAGE, LABEL, FOREGROUND, RECORD = "image.npy", "label.npy", "foreground.npy", "case.json"
SAMPLE, REFERENCE = "sample.npy", "reference.npy"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCase:
    """One prepared case; holds no array, so it is cheap to send to a worker."""

    id: str
    folder: Path
    spacing_mm: SpacingMm  # of the file's grid, on which scores are computed
    shape: VolumeShape  # of the prepared arrays
    n_foreground: tuple[int, ...]  # sampled voxels of class 1, 2, ...; empty without a label
    spacing_known: bool = True  # False: the file's 1 mm is not true, so lengths in mm mean nothing
    window: Window | None = None  # of CT; None for MRI, and for CT until a window is chosen
    # replaces damaged arrays; None where the files that they were made of are not known
    renew: Callable[[], object] | None = field(default=None, compare=False, repr=False)

    def image(self) -> np.ndarray:
        """Return the channels as the model sees them, float32 (C, D, H, W)."""
        stored = ArrayFile.find(self._open(IMAGE))
        image = np.empty(stored.shape, dtype=np.float32)
        self._scale_into(image, stored, tuple(slice(0, size) for size in self.shape))
        return image

    @property
    def n_channels(self) -> int:
        return ArrayFile.find(self._open(IMAGE)).shape[0]

    def read_patch(self, start: VolumeShape, patch: VolumeShape) -> tuple[np.ndarray, np.ndarray]:
        """Return image (C, *patch), float32, and classes, uint8; see `read_patch_into`."""
        stored = ArrayFile.find(self._open(IMAGE))
        image = np.empty((stored.shape[0], *patch), dtype=np.float32)
        label = np.empty(patch, dtype=np.uint8)
        self._read_into(image, label, stored, start, UNCHANGED)
        return image, label

    def read_patch_into(
        self, image: np.ndarray, label: np.ndarray, start: VolumeShape, change: Change = UNCHANGED
    ) -> None:
        """Fill image (C, D, H, W), float32, and classes (D, H, W), uint8; outside both are 0.

        The change is made slab by slab, while a slab is in the processor's cache. Raises: DataError
        if the case has no label.
        """
        self._read_into(image, label, ArrayFile.find(self._open(IMAGE)), start, change)

    def _read_into(
        self,
        image: np.ndarray,
        label: np.ndarray,
        stored: ArrayFile,
        start: VolumeShape,
        change: Change,
    ) -> None:
        classes = ArrayFile.find(self._label_path())
        source, target = _overlap(start, label.shape, self.shape)
        if target != tuple(slice(0, size) for size in label.shape):
            label[:] = 0
            image[:] = 0
            for channel, values in enumerate(image):
                change.adjust(values, channel)
        image, label = change.mirror(image), change.mirror(label)
        self._scale_into(image[(slice(None), *target)], stored, source, change)
        for where, values in classes.iter_slabs(source):
            label[target][where] = values

    def label(self) -> np.ndarray:
        """Return the training classes, uint8 (D, H, W), on disk; DataError if there is no label."""
        return np.load(self._label_path(), mmap_mode="r")

    def foreground(self) -> list[np.ndarray]:
        """Return sampled voxels (d, h, w) of class 1, 2, ..., each int32 (n, 3); n may be 0."""
        voxels = np.load(self._open(FOREGROUND), mmap_mode="r")
        return np.split(voxels, np.cumsum(self.n_foreground)[:-1])

    def sample(self) -> np.ndarray:
        """Return Hounsfield units of foreground voxels, spread evenly over all, int16 (C, n)."""
        return np.load(self._open(SAMPLE))

    def reference(self) -> np.ndarray:
        """Return the training classes on the file's own grid, uint8 (D, H, W)."""
        if REFERENCE in read_case_record(self.folder)[FILES]:
            return np.load(self._open(REFERENCE), mmap_mode="r")
        return self.restore(self.label())

    def restore(self, classes: np.ndarray) -> np.ndarray:
        """Return a prepared class map on the file's own grid, uint8 (D, H, W)."""
        return self.frame().restore(classes)

    def frame(self) -> Frame:
        return Frame.from_record(read_case_record(self.folder))

    def _label_path(self) -> Path:
        if not self.n_foreground:
            raise DataError(f"case {self.id} has no label")
        return self._open(LABEL)

    def _open(self, name: str) -> Path:
        """Return the path of an array that is what was written; prepare it again if it is not.

        Raises: DamagedError if that is impossible.
        """
        path = self.folder / name
        if is_verified(path):
            return path
        try:
            self._verify(path)
        except DamagedError as error:
            if self.renew is None:
                raise DamagedError(f"{error} ({WAY_OUT})") from None
            log.warning("%s; case %s is prepared again", error, self.id)
            self.renew()
            self._verify(path)
        return path

    def _verify(self, path: Path) -> None:
        verify(path, read_case_record(self.folder)[FILES][path.name])

    def _scale_into(
        self, image: np.ndarray, stored: ArrayFile, box: Box, change: Change = UNCHANGED
    ) -> None:
        """Write a box of the stored channels as the model sees it, image (C, *box)."""
        if self.window is None and stored.dtype != np.float16:
            rule = "a window must be chosen before CT is read"
            raise DataError(f"case {self.id}: {rule} (data.ct_norm)")
        for channel, target in enumerate(image):

            def adjust(values: np.ndarray, channel: int = channel) -> None:
                if self.window is not None:
                    self.window.scale_in_place(values)
                change.adjust(values, channel)

            stored.read_floats(target, box, channel, adjust)


def load_prepared(folder: Path, info: DatasetInfo) -> PreparedCase:
    """Return the prepared case in a folder; it cannot renew its arrays."""
    record = read_case_record(folder)
    return PreparedCase(
        id=record["id"],
        folder=folder,
        spacing_mm=tuple(record["stored_spacing_mm"]),
        shape=tuple(record["shape"]),
        n_foreground=tuple(record["n_foreground"]),
        spacing_known=record["spacing_known"],
        window=info.window,
    )


def read_case_record(folder: Path) -> dict[str, Any]:
    """Return the content of ``case.json``; raise FileError if it is damaged."""
    return read_record(folder / RECORD, dict[str, Any], f"the record is damaged: {WAY_OUT}")


def _overlap(start: VolumeShape, patch: VolumeShape, shape: VolumeShape) -> tuple[Box, Box]:
    """Return the patch's part of the volume, and the place of that part in the patch."""
    source, target = [], []
    for first, size, whole in zip(start, patch, shape, strict=True):
        low = max(first, 0)
        high = max(low, min(first + size, whole))
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    return tuple(source), tuple(target)
