"""What is written of a segmented case: label file, probabilities, volumes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.prediction.networks import Segmentation
from bench.scoring.metrics import MM3_PER_ML, region_mask
from datasets.base import Case, DatasetInfo
from datasets.files import new_file
from datasets.layouts.case_files import stem
from datasets.volumes.writing import write_classes


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    case: str
    output: Path
    volumes_ml: dict[str, float] | None  # of each region; None where the spacing is not known


def write_prediction(
    found: Segmentation, case: Case, info: DatasetInfo, output: Path
) -> Prediction:
    """Write the label file on the grid of the case's first volume, and probabilities beside it.

    The label file is written last: where it is, all is written.
    """
    if found.probabilities is not None:
        _write_probabilities(found, name_probabilities(output))
    like = next(iter(case.images.values()))
    write_classes(found.classes, info, found.frame.geometry, like, output)
    return Prediction(case.id, output, _measure(found, info))


def name_probabilities(output: Path) -> Path:
    """Return the file of the probabilities that belong to a label file."""
    return stem(output).with_name(f"{stem(output).name}.npz")


def _write_probabilities(found: Segmentation, file: Path) -> None:
    """Write float16 (K, z, y, x): classes, then the stored axes of the label file reversed."""
    assert found.probabilities is not None
    restored = found.frame.restore_probabilities(found.probabilities)
    to_stored = found.frame.geometry.to_stored
    stored = np.stack([to_stored(channel).transpose(2, 1, 0) for channel in restored])
    with new_file(file) as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, probabilities=stored)  # nnU-Net's key


def _measure(found: Segmentation, info: DatasetInfo) -> dict[str, float] | None:
    if not found.spacing_known:
        return None
    voxel_ml = float(np.prod(found.frame.geometry.spacing_mm)) / MM3_PER_ML
    masks = {region.name: region_mask(found.classes, region) for region in info.regions}
    return {name: np.count_nonzero(mask) * voxel_ml for name, mask in masks.items()}
