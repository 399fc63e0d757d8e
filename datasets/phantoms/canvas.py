"""The canvas of a phantom: tissue and class of each voxel, and which places are taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from datasets.phantoms.shapes import Point, VoxelGrid, draw_blob, draw_texture, draw_tube

N_TRIES = 200
PARTIAL_VOLUME_VOX = 0.6  # blur of borders between tissues

DrawCentre = Callable[[], Point]


@dataclass(frozen=True)
class Tissue:
    """The intensities of a tissue; a lesion and its mimics share one, so that they look alike."""

    means: tuple[float, ...]  # a value per channel
    texture: float  # standard deviation of the smooth part


@dataclass
class Canvas:
    """A scene in progress; later strokes cover earlier ones, but a mimic never covers a class."""

    grid: VoxelGrid
    rng: np.random.Generator
    body: np.ndarray  # bool (D, H, W), where something may be painted
    tissues: np.ndarray = field(init=False)  # uint8 (D, H, W), palette index; outside the body 0
    classes: np.ndarray = field(init=False)  # uint8 (D, H, W), training classes
    taken: list[tuple[Point, float]] = field(default_factory=list)  # centre and reach

    def __post_init__(self) -> None:
        self.tissues = self.body.astype(np.uint8)
        self.classes = np.zeros(self.grid.shape, dtype=np.uint8)

    def paint(self, mask: np.ndarray, tissue: int, label: int = 0) -> None:
        """Give the voxels of a mask (D, H, W) within the body a tissue and a class."""
        inside = mask & self.body
        self.tissues[inside] = tissue
        self.classes[inside] = label

    def claim(self, reach: float, draw_centre: DrawCentre) -> Point | None:
        """Return a drawn centre that keeps ``reach`` clear of taken places; None without room."""
        for _ in range(N_TRIES):
            centre = draw_centre()
            if self._is_free(centre, reach):
                self.taken.append((centre, reach))
                return centre
        return None

    def _is_free(self, centre: Point, reach: float) -> bool:
        for other, claimed in self.taken:
            if np.linalg.norm(np.subtract(centre, other)) <= reach + claimed:
                return False
        return True

    def paint_mimic_blobs(
        self, tissue: int, radii: tuple[float, float], count: int, draw_centre: DrawCentre
    ) -> None:
        """Paint background blobs with radii from a range; without room, at 0.7 of the size."""
        for radius in self.rng.uniform(*radii, size=count).tolist():
            size = radius
            centre = self.claim(size, draw_centre)
            if centre is None:
                size = 0.7 * radius
                centre = self.claim(size, draw_centre)
            if centre is not None:
                level = draw_blob(self.grid, centre, vary_radii(size, self.rng), self.rng)
                self.paint((level < 1) & (self.classes == 0), tissue)

    def paint_mimic_tubes(
        self, tissue: int, radius: float, count: int, draw_centre: DrawCentre, label: int = 0
    ) -> None:
        """Paint bent tubes, each along a random axis, where the class is ``label``."""
        for _ in range(count):
            level = draw_tube(self.grid, draw_centre(), int(self.rng.integers(3)), radius, self.rng)
            self.paint((level < 1) & (self.classes == label), tissue, label)


def vary_radii(radius: float, rng: np.random.Generator, spread: float = 0.15) -> Point:
    """Return three radii (d, h, w) about one; d is longer, since phantoms have few slices."""
    d, h, w = radius * rng.uniform(1 - spread, 1 + spread, size=3)
    return 1.25 * d, h, w


def render(canvas: Canvas, palette: Sequence[Tissue], noise: float) -> np.ndarray:
    """Return the intensities of a scene, float32 (C, D, H, W).

    They are tissue means, texture and white noise, with blurred borders. Each tissue's means move
    by 0.4 of its texture from case to case, so that no threshold holds for all.
    """
    rng, grid = canvas.rng, canvas.grid
    n_channels = len(palette[0].means)
    textures = np.array([tissue.texture for tissue in palette], dtype=np.float32)[canvas.tissues]
    image = np.empty((n_channels, *grid.shape), dtype=np.float32)
    for channel in range(n_channels):
        means = [each.means[channel] + rng.normal(0, 0.4 * each.texture) for each in palette]
        volume = np.array(means, dtype=np.float32)[canvas.tissues]
        texture = draw_texture(grid, 16, rng) + draw_texture(grid, 8, rng)
        volume += textures * texture / np.float32(np.sqrt(2))
        volume = ndimage.gaussian_filter(volume, PARTIAL_VOLUME_VOX)
        volume += np.float32(noise) * rng.standard_normal(grid.shape, dtype=np.float32)
        image[channel] = volume
    return image
