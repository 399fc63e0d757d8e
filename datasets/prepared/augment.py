"""How a patch is augmented: mirrored as a whole, each channel scaled and shifted."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

MIRROR_PROBABILITY = 0.5  # of each axis by itself
SCALE_RANGE = (0.9, 1.1)  # Med-Tuning's intensity augmentation, here per channel
SHIFT_RANGE = (-0.1, 0.1)


@dataclass(frozen=True)
class Change:
    """What is done to a patch while it is read; by default nothing.

    MONAI's dictionary transforms take several times as long, and each copies the patch.
    """

    mirrored: tuple[int, ...] = ()  # axes of (D, H, W)
    # of each channel, float32; empty: intensities stay
    scale: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    shift: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    @classmethod
    def draw(cls, n_channels: int, rng: np.random.Generator) -> Self:
        mirrored = tuple(axis for axis in range(3) if rng.random() < MIRROR_PROBABILITY)
        scale = rng.uniform(*SCALE_RANGE, n_channels).astype(np.float32)
        shift = rng.uniform(*SHIFT_RANGE, n_channels).astype(np.float32)
        return cls(mirrored, scale, shift)

    def mirror(self, array: np.ndarray) -> np.ndarray:
        """Return the mirrored view of (..., D, H, W)."""
        return np.flip(array, tuple(axis - 3 for axis in self.mirrored))

    def adjust(self, values: np.ndarray, channel: int) -> None:
        """Scale and shift values of a channel in their place."""
        if len(self.scale):
            values *= self.scale[channel]
            values += self.shift[channel]


UNCHANGED = Change()
