"""Slices of a run's held-out predictions for later pictures: some of every case, in bounded size.

They are chosen by the reference alone, so that the runs of all methods keep the same ones.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from datasets.files import DAMAGE, new_file

SLICES_FILE = "slices.npz"
MOST_SLICES = 8  # of a case
LONGEST_SIDE = 192  # in pixels; a larger slice is thinned to every second, third, ... pixel
MOST_PIXELS = 8_000_000  # of a run's images; as many bytes before compression

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseSlices:
    """Some axial slices of one case on the prepared grid; H runs from back to front."""

    depths: np.ndarray  # (n,), places of the slices in the prepared volume
    image: np.ndarray  # uint8 (n, H, W), the first channel between its 1st and 99th percentile
    reference: np.ndarray  # uint8 (n, H, W), classes
    prediction: np.ndarray  # uint8 (n, H, W), classes
    # bool (regions, classes), which classes a region of the run has; (0, 0) in older files
    members: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))

    def find_region(self, classes: np.ndarray, region: int) -> np.ndarray:
        """Return where a map of classes has the region of that number."""
        return self.members[region][np.minimum(classes, self.members.shape[1] - 1)]


def cut_slices(
    image: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    n_cases: int,
    regions: Sequence[Sequence[int]] = (),
) -> CaseSlices:
    """Return slices of a case (D, H, W), spread evenly over those with a reference.

    The run's bound is shared out among ``n_cases``. ``regions`` are the classes of each region.
    """
    height, width = reference.shape[1:]
    step = -(-max(height, width) // LONGEST_SIDE)
    n_pixels = -(-height // step) * -(-width // step)
    most = int(np.clip(MOST_PIXELS // (n_cases * n_pixels), 1, MOST_SLICES))
    found = np.flatnonzero(reference.any(axis=(1, 2)))
    if not found.size:
        found = np.array([len(reference) // 2])
    depths = found[np.unique(np.linspace(0, found.size - 1, most + 2)[1:-1].round().astype(int))]
    kept = (depths, slice(None, None, step), slice(None, None, step))
    grey = np.asarray(image, dtype=np.float32)[kept]
    low, high = np.percentile(grey, (1, 99))
    scaled = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    maps = np.asarray(reference)[kept], np.asarray(prediction)[kept]
    return CaseSlices(depths, scaled.astype(np.uint8), *maps, _mark_members(regions))


def _mark_members(regions: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the matrix of regions and classes; the last class is none, and so in no region."""
    n_classes = max((max(classes) for classes in regions), default=-1) + 2
    members = np.zeros((len(regions), n_classes if regions else 0), bool)
    for number, classes in enumerate(regions):
        members[number, list(classes)] = True
    return members


def write_slices(file: Path, cases: Mapping[str, CaseSlices]) -> None:
    """Write the slices of all cases into one file."""
    arrays: dict[str, Any] = {}
    for case, found in cases.items():
        arrays |= {f"{case}/{name}": array for name, array in vars(found).items()}
    with new_file(file) as unfinished:
        np.savez_compressed(unfinished, **arrays)


def read_slices(file: Path, case: str) -> CaseSlices | None:
    """Return the slices of one case, or None if the file lacks it; pickled objects are refused.

    A damaged file, which costs a picture and no number, lacks all cases.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if f"{case}/depths" not in arrays:
                return None
            names = [item.name for item in fields(CaseSlices)]
            if f"{case}/members" not in arrays:
                names.remove("members")  # an older file
            return CaseSlices(*(arrays[f"{case}/{name}"] for name in names))
    except DAMAGE as error:
        log.warning("%s: is damaged, its pictures are left out: %s", file, error)
        return None
