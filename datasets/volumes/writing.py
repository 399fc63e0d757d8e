"""Write a class map as a label file on the grid of a volume."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.base import IGNORED_CLASS, DatasetInfo
from datasets.files import new_file
from datasets.volumes.geometry import Geometry


def write_classes(
    classes: np.ndarray, info: DatasetInfo, geometry: Geometry, like: Path, output: Path
) -> None:
    """Write a canonical class map (D, H, W) as label values on the grid of the volume ``like``."""
    values = np.array(info.label_values)
    dtype = _choose_type([*info.label_values, info.ignored_value or 0])
    source = nib.load(like)
    header = source.header.copy()
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_max"] = header["cal_min"] = 0  # they are about intensities
    table = np.zeros(IGNORED_CLASS + 1, dtype=dtype)
    table[: len(values)] = values
    table[IGNORED_CLASS] = info.ignored_value or 0
    stored = geometry.to_stored(table[classes])
    # nibabel leaves sform, qform and their codes alone as long as the affine is the header's own
    image = type(source)(stored, source.affine, header)
    with new_file(output) as unfinished:
        nib.save(image, unfinished)


def _choose_type(values: Sequence[int]) -> type[np.integer]:
    """Return the smallest usual type of label files that holds the values."""
    for kind in (np.uint8, np.int16):
        limits = np.iinfo(kind)
        if limits.min <= min(values) and max(values) <= limits.max:
            return kind
    return np.int32
