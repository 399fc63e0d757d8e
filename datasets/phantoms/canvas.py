"""What a phantom is painted on: the look of each voxel, its class, and which places are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from datasets.phantoms.shapes import (
    Point,
    VoxelGrid,
    draw_blob,
    draw_texture,
    draw_tube,
    draw_waves,
)

N_TRIES = 200
PARTIAL_VOLUME_VOX = 0.6  # blur of borders between tissues

DrawCentre = Callable[[], Point]


@dataclass(frozen=True)
class Tissue:
    """The intensities of a tissue. A lesion and its mimics share one look, so no intensity tells them apart."""

    means: tuple[float, ...]  # a value per channel
    texture: float  # standard deviation of the smooth part


@dataclass
class Canvas:
    """A scene under construction; later strokes cover earlier ones, but a mimic never covers what has a class."""

    grid: VoxelGrid
    rng: np.random.Generator
    body: np.ndarray  # bool (D, H, W), where something may be painted
    look: np.ndarray = field(
        init=False
    )  # uint8 (D, H, W), index into the palette, 0 outside the body
    classes: np.ndarray = field(init=False)  # uint8 (D, H, W), training classes
    taken: list[tuple[Point, float]] = field(
        default_factory=list
    )  # centre and reach of what was placed

    def __post_init__(self) -> None:
        self.look = self.body.astype(np.uint8)
        self.classes = np.zeros(self.grid.shape, dtype=np.uint8)

    def paint(self, mask: np.ndarray, look: int, label: int = 0) -> None:
        """Give the voxels of a mask (D, H, W) within the body a look and a class."""
        inside = mask & self.body
        self.look[inside] = look
        self.classes[inside] = label

    def claim(self, reach: float, draw_centre: DrawCentre) -> Point | None:
        """Return a drawn centre that keeps ``reach`` clear of what was placed before, or None if there is no room."""
        for _ in range(N_TRIES):
            centre = draw_centre()
            if all(
                np.linalg.norm(np.subtract(centre, other)) > reach + claimed
                for other, claimed in self.taken
            ):
                self.taken.append((centre, reach))
                return centre
        return None

    def paint_mimic_blobs(self, look: int, radii: Sequence[float], draw_centre: DrawCentre) -> None:
        """Paint background blobs of a look; one that finds no room is tried once more at 0.7 of its size."""
        for radius in radii:
            size = radius
            centre = self.claim(size, draw_centre)
            if centre is None:
                size = 0.7 * radius
                centre = self.claim(size, draw_centre)
            if centre is not None:
                level = draw_blob(self.grid, centre, vary_radii(size, self.rng), self.rng)
                self.paint((level < 1) & (self.classes == 0), look)

    def paint_mimic_tubes(
        self, look: int, radius: float, count: int, draw_centre: DrawCentre, label: int = 0
    ) -> None:
        """Paint bent tubes of a look, each along a random axis, where the class is ``label``."""
        for _ in range(count):
            level = draw_tube(self.grid, draw_centre(), int(self.rng.integers(3)), radius, self.rng)
            self.paint((level < 1) & (self.classes == label), look, label)


def vary_radii(radius: float, rng: np.random.Generator, spread: float = 0.15) -> Point:
    """Return three radii (d, h, w) about one; d is longer, since phantoms have fewer slices than rows."""
    d, h, w = radius * rng.uniform(1 - spread, 1 + spread, size=3)
    return 1.25 * d, h, w


def render(canvas: Canvas, palette: Sequence[Tissue], noise: float) -> np.ndarray:
    """Return the intensities of a scene, float32 (C, D, H, W): tissue means, texture, partial volume, white noise.

    Each tissue's means move a little from case to case (by 0.4 of its texture), so that no
    threshold holds for all.
    """
    rng, grid = canvas.rng, canvas.grid
    n_channels = len(palette[0].means)
    textures = np.array([look.texture for look in palette], dtype=np.float32)[canvas.look]
    image = np.empty((n_channels, *grid.shape), dtype=np.float32)
    for channel in range(n_channels):
        means = [look.means[channel] + rng.normal(0, 0.4 * look.texture) for look in palette]
        volume = np.array(means, dtype=np.float32)[canvas.look]
        volume += (
            textures
            * (draw_texture(grid, 16, rng) + draw_texture(grid, 8, rng))
            / np.float32(np.sqrt(2))
        )
        volume = ndimage.gaussian_filter(volume, PARTIAL_VOLUME_VOX)
        volume += np.float32(noise) * rng.standard_normal(grid.shape, dtype=np.float32)
        image[channel] = volume
    return image


def bias_field(canvas: Canvas, strength: float) -> np.ndarray:
    """Return a slow multiplicative field about 1, float32 (D, H, W)."""
    field_ = 1 + strength * draw_waves(canvas.grid, canvas.rng, n_waves=3, frequency=1.0)
    return np.clip(field_, 0.5, 1.5)
