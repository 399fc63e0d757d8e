"""Between the grid of a file and the grid of training: a box of it, at another spacing on request.

Everything is in canonical orientation (D, H, W). Images are interpolated linearly and labels by
nearest neighbour, with cell-centred coordinates: the box covers the same space before and after.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from datasets.base import SpacingMm, VolumeShape
from datasets.volumes.geometry import Geometry

SLICES_AT_ONCE = 16


@dataclass(frozen=True)
class Frame:
    """The part of a file that a prepared case covers."""

    geometry: Geometry
    start: VolumeShape  # first voxel (d, h, w) of the box
    size: VolumeShape  # of the box, in voxels of the file
    shape: VolumeShape  # of the prepared arrays

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Return a view of the box, of an array (..., D, H, W) on the file's grid."""
        d, h, w = map(slice, self.start, np.add(self.start, self.size))
        return array[..., d, h, w]

    def resample_image(self, channel: np.ndarray) -> np.ndarray:
        """Return the box of a channel on the prepared grid, float32 (D, H, W)."""
        return _interpolate(self.cut(channel), self.shape, "trilinear")

    def resample_classes(self, classes: np.ndarray) -> np.ndarray:
        """Return the box of a class map on the prepared grid, uint8 (D, H, W)."""
        return _interpolate(self.cut(classes), self.shape, "nearest-exact")

    def restore(self, classes: np.ndarray) -> np.ndarray:
        """Return a prepared class map (D, H, W) on the file's grid, uint8; 0 outside the box."""
        full = np.zeros(self.geometry.canonical_shape, dtype=np.uint8)
        self.cut(full)[:] = _interpolate(np.asarray(classes), self.size, "nearest-exact")
        return full

    def restore_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Return prepared probabilities (K, D, H, W) on the file's grid, float16.

        They are interpolated linearly; outside the box the background, class 0, has 1.
        """
        n_classes = len(probabilities)
        full = np.zeros((n_classes, *self.geometry.canonical_shape), dtype=np.float16)
        full[0] = 1
        for target, channel in zip(self.cut(full), probabilities, strict=True):
            target[:] = _interpolate(channel, self.size, "trilinear")
        return full

    def to_record(self) -> dict[str, Any]:
        return {
            "stored_shape": list(self.geometry.shape),
            "stored_affine": self.geometry.affine.tolist(),
            "stored_orientation": self.geometry.orientation.tolist(),
            "stored_spacing_mm": list(self.geometry.spacing_mm),
            "box_start": list(self.start),
            "box_size": list(self.size),
            "shape": list(self.shape),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        geometry = Geometry(
            shape=tuple(record["stored_shape"]),
            affine=np.array(record["stored_affine"]),
            orientation=np.array(record["stored_orientation"]),
            spacing_mm=tuple(record["stored_spacing_mm"]),
        )
        start, size = tuple(record["box_start"]), tuple(record["box_size"])
        return cls(geometry, start, size, tuple(record["shape"]))


def place_frame(geometry: Geometry, body: np.ndarray | None, spacing_mm: SpacingMm | None) -> Frame:
    """Return the frame around a body (D, H, W); around the whole volume if it is None or empty.

    With ``spacing_mm`` the prepared shape is the nearest that gives it; the true spacing is the
    extent of the box over that shape.
    """
    start: VolumeShape = (0, 0, 0)
    size = geometry.canonical_shape
    if body is not None and body.any():
        start, size = find_box(body)
    if spacing_mm is None:
        return Frame(geometry, start, size, size)
    shape = np.rint(np.multiply(size, geometry.spacing_mm) / spacing_mm).astype(int)
    d, h, w = np.maximum(shape, 1).tolist()
    return Frame(geometry, start, size, (d, h, w))


def find_box(mask: np.ndarray) -> tuple[VolumeShape, VolumeShape]:
    """Return first voxel and size of the smallest box around a mask (D, H, W) that is not empty."""
    starts, sizes = [], []
    for other_axes in ((1, 2), (0, 2), (0, 1)):
        inside = np.flatnonzero(mask.any(axis=other_axes))
        starts.append(int(inside[0]))
        sizes.append(int(inside[-1] - inside[0] + 1))
    return (starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2])


def _interpolate(volume: np.ndarray, shape: VolumeShape, mode: str) -> np.ndarray:
    """Return the volume itself if it has the shape."""
    if volume.shape == shape:
        return volume
    from torch import from_numpy  # most preparations need no torch, and each worker would import it
    from torch.nn.functional import interpolate

    source = from_numpy(np.require(volume, requirements=["C", "W"]))[None, None]
    return interpolate(source, size=shape, mode=mode)[0, 0].numpy()
