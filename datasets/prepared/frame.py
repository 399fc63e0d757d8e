"""Between the grid of a file and the grid that training sees: a box cut out of it, at another spacing if asked for.

Everything is in canonical orientation (D, H, W); `Geometry` knows the way from there to the file.
Images are interpolated linearly and labels by nearest neighbour, with cell-centred coordinates: the
box covers the same space before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.base import SpacingMm, VolumeShape
from datasets.volumes.geometry import Geometry

SLICES_AT_ONCE = 16


@dataclass(frozen=True)
class Frame:
    """Where a prepared case lies in its file."""

    geometry: Geometry
    start: VolumeShape  # first voxel (d, h, w) of the box
    size: VolumeShape  # of the box, in voxels of the file
    shape: VolumeShape  # of the prepared arrays

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Return a view of the box, of an array (..., D, H, W) on the file's grid."""
        d, h, w = (
            slice(first, first + size) for first, size in zip(self.start, self.size, strict=True)
        )
        return array[..., d, h, w]

    def restore(self, classes: np.ndarray) -> np.ndarray:
        """Return a prepared class map (D, H, W) on the file's grid, uint8; outside the box it is background."""
        full = np.zeros(self.geometry.canonical_shape, dtype=np.uint8)
        self.cut(full)[:] = resample_classes(np.asarray(classes), self.size)
        return full

    def to_record(self) -> dict[str, Any]:
        """Return the frame as plain data."""
        return {
            "stored_shape": list(self.geometry.shape),
            "stored_affine": self.geometry.affine.tolist(),
            "stored_orientation": self.geometry.orientation.tolist(),
            "stored_spacing_mm": list(self.geometry.spacing_mm),
            "box_start": list(self.start),
            "box_size": list(self.size),
            "shape": list(self.shape),
        }

    @staticmethod
    def from_record(record: dict[str, Any]) -> Frame:
        """Return the frame that `to_record` described."""
        geometry = Geometry(
            tuple(record["stored_shape"]),
            np.array(record["stored_affine"]),
            np.array(record["stored_orientation"]),
            tuple(record["stored_spacing_mm"]),
        )
        return Frame(
            geometry, tuple(record["box_start"]), tuple(record["box_size"]), tuple(record["shape"])
        )


def place_frame(geometry: Geometry, body: np.ndarray | None, spacing_mm: SpacingMm | None) -> Frame:
    """Return the frame around a body (D, H, W), or around the whole volume where it is None or empty.

    With ``spacing_mm`` the prepared shape is the nearest that gives it; the true spacing is the
    box's extent over it.
    """
    start, size = (
        find_box(body) if body is not None and body.any() else ((0, 0, 0), geometry.canonical_shape)
    )
    return Frame(geometry, start, size, resampled_shape(size, geometry.spacing_mm, spacing_mm))


def resampled_shape(
    size: VolumeShape, spacing_mm: SpacingMm, wanted_mm: SpacingMm | None
) -> VolumeShape:
    """Return how many voxels of the wanted spacing a volume has; its own number if None."""
    if wanted_mm is None:
        return size
    d, h, w = (
        max(1, round(n * old / new))
        for n, old, new in zip(size, spacing_mm, wanted_mm, strict=True)
    )
    return d, h, w


def find_box(mask: np.ndarray) -> tuple[VolumeShape, VolumeShape]:
    """Return first voxel and size of the smallest box around a mask (D, H, W) that is not empty."""
    starts, sizes = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        starts.append(int(inside[0]))
        sizes.append(int(inside[-1] - inside[0] + 1))
    return (starts[0], starts[1], starts[2]), (sizes[0], sizes[1], sizes[2])


def resample_image(channel: np.ndarray, shape: VolumeShape) -> np.ndarray:
    """Return one channel (D, H, W) on a grid of another shape over the same space, float32; itself if it has it."""
    return _interpolate(channel, shape, "trilinear") if channel.shape != shape else channel


def resample_classes(classes: np.ndarray, shape: VolumeShape) -> np.ndarray:
    """Return a class map (D, H, W), uint8, on a grid of another shape over the same space; itself if it has it."""
    return _interpolate(classes, shape, "nearest-exact") if classes.shape != shape else classes


def _interpolate(volume: np.ndarray, shape: VolumeShape, mode: str) -> np.ndarray:
    from torch import from_numpy  # most preparations need no torch, and each worker would import it
    from torch.nn.functional import interpolate

    source = from_numpy(np.require(volume, requirements=["C", "W"]))[None, None]
    result: np.ndarray = interpolate(source, size=shape, mode=mode)[0, 0].numpy()
    return result
