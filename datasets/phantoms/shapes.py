"""Smooth random shapes and textures on a grid that spans [-1, 1] along each axis, at any size."""

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
        d, h, w = map(_centres, self.shape)
        return d[:, None, None], h[None, :, None], w[None, None, :]


def draw_blob(
    grid: VoxelGrid,
    centre: Point,
    radii: Point,
    rng: np.random.Generator,
    wobble: float = 0.12,
    tilt: float = 0.5,
) -> np.ndarray:
    """Return the level field of an uneven, tilted ellipsoid, float32 (D, H, W): < 1 inside."""
    turn = _draw_rotation(rng, tilt)
    d, h, w = grid.axes
    squared = np.zeros(grid.shape, dtype=np.float32)
    for (to_d, to_h, to_w), radius in zip(turn, radii, strict=True):
        along = np.float32(to_d / radius) * (d - np.float32(centre[0]))
        along = along + np.float32(to_h / radius) * (h - np.float32(centre[1]))
        along = along + np.float32(to_w / radius) * (w - np.float32(centre[2]))
        squared += np.square(along)
    level = np.sqrt(squared)
    level *= 1 + wobble * draw_waves(grid, rng, n_waves=4, frequency=3.0)
    return level


def draw_tube(
    grid: VoxelGrid, start: Point, axis: int, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the level field of a bent tube along ``axis``, float32 (D, H, W): < 1 inside."""
    axes = grid.axes
    along = axes[axis]
    squared = np.zeros(grid.shape, dtype=np.float32)
    for other in {0, 1, 2} - {axis}:
        slope, phase = rng.normal(0, 0.25), rng.uniform(0, 2 * np.pi)
        bend = 0.12 * (np.sin(3 * along + phase) - np.sin(phase))
        path = start[other] + slope * (along - start[axis]) + bend
        squared += np.square((axes[other] - path.astype(np.float32)) / np.float32(radius))
    return np.sqrt(squared)


def draw_waves(
    grid: VoxelGrid, rng: np.random.Generator, n_waves: int, frequency: float
) -> np.ndarray:
    """Return a very smooth random field of standard deviation about 1, float32 (D, H, W)."""

    def draw_wave(axis: np.ndarray) -> np.ndarray:
        turns = rng.normal(0, frequency) * axis
        return np.cos(turns + rng.uniform(0, 2 * np.pi)).astype(np.float32)

    total = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(n_waves):
        d, h, w = map(draw_wave, grid.axes)
        total += d * h * w
    return total / np.float32(np.sqrt(n_waves / 8))


def draw_bias(grid: VoxelGrid, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return a slow multiplicative field about 1, float32 (D, H, W)."""
    waves = draw_waves(grid, rng, n_waves=3, frequency=1.0)
    return np.clip(1 + strength * waves, 0.5, 1.5)


def draw_texture(grid: VoxelGrid, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return interpolated white noise of deviation 1, float32; ``cells`` nodes along H and W."""
    nodes = (max(2, cells // 2), cells, cells)
    coarse = rng.standard_normal(nodes, dtype=np.float32)
    fine = ndimage.zoom(coarse, np.divide(grid.shape, nodes), order=1)
    return fine / fine.std()


def _centres(size: int) -> np.ndarray:
    return ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1


def _draw_rotation(rng: np.random.Generator, tilt: float) -> np.ndarray:
    """Return a rotation (3, 3) by a normally distributed vector of ``tilt`` radians per axis."""
    a, b, c = rng.normal(0, tilt, size=3)
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    angle = float(np.sqrt(a * a + b * b + c * c))
    if angle == 0:
        return np.eye(3)
    sine, cosine = np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2
    return np.eye(3) + sine * cross + cosine * cross @ cross
