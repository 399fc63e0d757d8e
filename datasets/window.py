"""The window of CT values that a model sees. Imports nothing, so that the facts of a data set can hold one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Window:
    """How CT values are clipped, shifted and scaled; all in Hounsfield units."""

    low_hu: float
    high_hu: float
    mean_hu: float
    std_hu: float

    def __post_init__(self) -> None:
        """Raises: ValueError if the window is empty or the standard deviation is not positive."""
        if not (self.low_hu < self.high_hu and self.std_hu > 0):
            raise ValueError(f"window: must have low < high and a positive standard deviation, got {self}")

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Return the clipped values with mean and standard deviation taken out, float32, as a new array."""
        scaled: np.ndarray = values.astype("float32")
        self.scale_in_place(scaled)
        return scaled

    def scale_in_place(self, scaled: np.ndarray) -> None:
        """Do the same to values that are float32 already."""
        scaled.clip(self.low_hu, self.high_hu, out=scaled)
        scaled -= self.mean_hu
        scaled *= 1 / self.std_hu
