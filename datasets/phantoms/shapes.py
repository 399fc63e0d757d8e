"""Smooth random shapes and textures on a grid that spans [-1, 1] along each axis, whatever its number of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from datasets.base import VolumeShape

Point = tuple[float, float, float]  # (d, h, w), each in [-1, 1]


@dataclass(frozen=True)
class VoxelGrid:
    """The coordinates of the voxels of a volume (D, H, W)."""

    shape: VolumeShape

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates along D, H and W, float32, shaped to broadcast against each other."""
        d, h, w = (
            ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1 for size in self.shape
        )
        return d[:, None, None], h[None, :, None], w[None, None, :]


def draw_blob(
    grid: VoxelGrid,
    centre: Point,
    radii: Point,
    rng: np.random.Generator,
    wobble: float = 0.12,
    tilt: float = 0.5,
) -> np.ndarray:
    """Return the level field of an uneven, tilted ellipsoid, float32 (D, H, W): < 1 inside, concentric levels below."""
    turn = _draw_rotation(rng, tilt)
    offsets = [
        axis - np.float32(position) for axis, position in zip(grid.axes, centre, strict=True)
    ]
    squared = np.zeros(grid.shape, dtype=np.float32)
    for row, radius in zip(turn, radii, strict=True):
        along = sum(
            np.float32(weight / radius) * offset
            for weight, offset in zip(row, offsets, strict=True)
        )
        squared += np.square(along)
    level = np.sqrt(squared)
    level *= 1 + wobble * draw_waves(grid, rng, n_waves=4, frequency=3.0)
    return level


def draw_tube(
    grid: VoxelGrid, start: Point, axis: int, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the level field of a bent tube that crosses the volume along ``axis``, float32 (D, H, W): < 1 inside."""
    axes = grid.axes
    along = axes[axis]
    squared = np.zeros(grid.shape, dtype=np.float32)
    for other in {0, 1, 2} - {axis}:
        slope, phase = rng.normal(0, 0.25), rng.uniform(0, 2 * np.pi)
        path = (
            start[other]
            + slope * (along - start[axis])
            + 0.12 * (np.sin(3 * along + phase) - np.sin(phase))
        )
        squared += np.square((axes[other] - path.astype(np.float32)) / np.float32(radius))
    return np.sqrt(squared)


def draw_waves(
    grid: VoxelGrid, rng: np.random.Generator, n_waves: int, frequency: float
) -> np.ndarray:
    """Return a very smooth random field of standard deviation about 1, float32 (D, H, W)."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(n_waves):
        d, h, w = (
            np.cos(rng.normal(0, frequency) * axis + rng.uniform(0, 2 * np.pi)).astype(np.float32)
            for axis in grid.axes
        )
        total += d * h * w
    return total / np.float32(np.sqrt(n_waves / 8))


def draw_texture(grid: VoxelGrid, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return interpolated white noise with ``cells`` nodes along H and W, standard deviation about 1, float32."""
    nodes = (max(2, cells // 2), cells, cells)
    coarse = rng.standard_normal(nodes, dtype=np.float32)
    fine = ndimage.zoom(
        coarse, [size / node for size, node in zip(grid.shape, nodes, strict=True)], order=1
    )
    scaled: np.ndarray = fine / fine.std()
    return scaled


def _draw_rotation(rng: np.random.Generator, tilt: float) -> np.ndarray:
    """Return a rotation (3, 3) by a normally distributed vector of ``tilt`` radians per axis."""
    a, b, c = rng.normal(0, tilt, size=3)
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    angle = float(np.sqrt(a * a + b * b + c * c))
    if angle == 0:
        return np.eye(3)
    rotation: np.ndarray = (
        np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
    )
    return rotation
