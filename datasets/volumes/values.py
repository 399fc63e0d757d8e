"""What voxels may hold: labels the values of the release, images finite numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.base import DataError, DatasetInfo

LABEL_TOLERANCE = (
    1e-3  # tools that resample or scale leave such noise; beyond it a value means something else
)
UNKNOWN_CLASS = 255
SAMPLE = 5  # values that a message lists


def classify(values: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Return the training class of each label value, uint8; `UNKNOWN_CLASS` for a value that the release has not."""
    classes = np.full(values.shape, UNKNOWN_CLASS, dtype=np.uint8)
    is_float = values.dtype.kind == "f"
    for index, value in enumerate(info.label_values):
        classes[
            np.abs(values - np.float32(value)) < LABEL_TOLERANCE if is_float else values == value
        ] = index
    return classes


@dataclass
class UnknownValues:
    """Label values without a class that have been seen, a few of each block."""

    seen: set[float] = field(default_factory=set)

    def see(self, values: np.ndarray, classes: np.ndarray) -> None:
        """Take a block of values and what `classify` made of it into account."""
        self.seen |= {
            float(value) for value in np.unique(values[classes == UNKNOWN_CLASS])[:SAMPLE]
        }

    def check(self, path: Path, case_id: str, info: DatasetInfo) -> None:
        """Raise DataError if a value had no class."""
        if self.seen:
            first = sorted(self.seen, key=lambda value: (value != value, value))[
                :SAMPLE
            ]  # nan last
            found = ", ".join(f"{value:g}" for value in first)
            allowed = ", ".join(str(value) for value in sorted(info.label_values))
            hint = f"these are the values of {info.title}; is it another release, or was the label interpolated?"
            raise DataError(
                f"{path}: label of case {case_id} may hold {allowed}, found {found} ({hint})"
            )


@dataclass
class Range:
    """The range of the finite values seen so far, and how many others there were."""

    low: float = np.inf
    high: float = -np.inf
    n_not_finite: int = 0
    n_seen: int = 0

    def see(self, block: np.ndarray) -> None:
        """Take a block of values into account."""
        self.n_seen += block.size
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            self.n_not_finite += int(block.size - np.count_nonzero(finite))
            block = block[finite]
        if block.size:
            self.low, self.high = (
                min(self.low, float(block.min())),
                max(self.high, float(block.max())),
            )

    def check(self, path: Path, case_id: str) -> None:
        """Raise DataError if something was not finite."""
        if self.n_not_finite:
            found = f"found NaN or infinity at {self.n_not_finite} of {self.n_seen} voxels of case {case_id}"
            raise DataError(
                f"{path}: intensities must be finite, {found} (export the volume again)"
            )
