"""Check voxels: labels hold the values of the release, images hold finite numbers."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.base import IGNORED_CLASS, DataError, DatasetInfo

LABEL_TOLERANCE = 1e-3  # noise of tools that resample or scale; beyond it a value is another
UNKNOWN_CLASS = 255
SAMPLE = 5  # values that a message lists


def classify(values: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Return the training class of each label value, uint8; `UNKNOWN_CLASS` where it has none."""
    if values.dtype == np.uint8:  # as most labels are: a table is ten times as fast
        table = classify(np.arange(256, dtype=np.int16), info).tobytes()
        classes = np.frombuffer(values.tobytes().translate(table), dtype=np.uint8)
        return classes.reshape(values.shape)
    classes = np.full(values.shape, UNKNOWN_CLASS, dtype=np.uint8)
    is_float = values.dtype.kind == "f"
    class_of = {value: index for index, value in enumerate(info.label_values)}
    if info.ignored_value is not None:
        class_of[info.ignored_value] = IGNORED_CLASS
    for value, index in class_of.items():
        hit = np.abs(values - np.float32(value)) < LABEL_TOLERANCE if is_float else values == value
        classes[hit] = index
    return classes


@dataclass
class UnknownValues:
    """Label values without a class: how many voxels, their range, and a few of each block."""

    seen: set[float] = field(default_factory=set)
    n_voxels: int = 0

    def add(self, values: np.ndarray, classes: np.ndarray) -> None:
        """Add the values of a block; ``classes`` is the result of `classify`."""
        is_unknown = classes == UNKNOWN_CLASS
        n_unknown = int(np.count_nonzero(is_unknown))
        if n_unknown:
            self.n_voxels += n_unknown
            unknown = np.unique(values[is_unknown]).astype(float)
            ends = [*unknown[:SAMPLE], *unknown[~np.isnan(unknown)][-1:]]
            self.seen.update(map(float, ends))

    def describe(self) -> str:
        """Return the number of voxels, and their values or the range of these."""
        finite = sorted(value for value in self.seen if not np.isnan(value))
        voxels = "1 voxel" if self.n_voxels == 1 else f"{self.n_voxels} voxels"
        if len(finite) == len(self.seen) and all(value.is_integer() for value in finite):
            listed = ", ".join(f"{value:g}" for value in finite[:SAMPLE])
            more = f" and more up to {finite[-1]:g}" if len(finite) > SAMPLE else ""
            return f"{listed}{more} at {voxels}"
        if not finite:
            return f"NaN at {voxels}"
        with_nan = " and NaN" if len(finite) < len(self.seen) else ""
        span = f"{finite[0]:g}" if len(finite) == 1 else f"{finite[0]:g} to {finite[-1]:g}"
        return f"{span}{with_nan} at {voxels}, not all of them whole numbers"

    def check(self, path: Path, case_id: str, info: DatasetInfo) -> None:
        """Raise DataError if a value had no class."""
        if not self.seen:
            return
        known = set(info.label_values)
        if info.ignored_value is not None:
            known.add(info.ignored_value)
        allowed = ", ".join(map(str, sorted(known)))
        values = f"these are the values of {info.title}"
        hint = f"{values}; is it another release, or was the label interpolated?"
        rule = f"label of case {case_id} may hold {allowed}, found {self.describe()}"
        raise DataError(f"{path}: {rule} ({hint})")


@dataclass
class ValueRange:
    """The range of the finite values added so far, and the number of others."""

    low: float = np.inf
    high: float = -np.inf
    n_not_finite: int = 0
    n_added: int = 0

    def add(self, block: np.ndarray) -> None:
        self.n_added += block.size
        if block.dtype.kind == "f":
            finite = block[np.isfinite(block)]
            self.n_not_finite += block.size - finite.size
            block = finite
        if block.size:
            self.low = min(self.low, float(block.min()))
            self.high = max(self.high, float(block.max()))

    def check(self, path: Path, case_id: str) -> None:
        """Raise DataError if a value was not finite."""
        if self.n_not_finite:
            place = f"{self.n_not_finite} of {self.n_added} voxels of case {case_id}"
            rule = f"intensities must be finite, found NaN or infinity at {place}"
            raise DataError(f"{path}: {rule} (export the volume again)")
