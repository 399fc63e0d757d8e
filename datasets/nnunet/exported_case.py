"""Write one case into a raw folder of nnU-Net."""

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from datasets.base import Case, DatasetInfo
from datasets.files import naming, new_file
from datasets.volumes.geometry import Geometry
from datasets.volumes.labels import geometry_of
from datasets.volumes.reading import open_image, read_image, read_label
from datasets.volumes.writing import write_classes

ENDING = ".nii.gz"
GRID_TOLERANCE = 1e-3  # of affines
LEVEL = 6  # of gzip


def write_case(
    info: DatasetInfo, case: Case, targets: Sequence[Path], label: Path, *, link: bool
) -> None:
    """Write a file a channel to ``targets``, and a label, if there is one, with values 0, 1, 2, ...

    Raises: DataError if a file of the case cannot be used.
    """
    image, geometry = read_image(case)  # whole, so that no damaged file is passed on
    for target, path, channel in zip(targets, case.images.values(), image, strict=True):
        if case.stack or not _fits(case, path, geometry):
            _write_channel(channel, geometry, path, target)
        elif link and path.name.endswith(ENDING):
            target.symlink_to(path.resolve())
        else:
            _copy(path, target)
    if case.label is not None:
        classes = read_label(case, info, geometry)
        n_classes = len(info.classes)
        ignored = None if info.ignored_value is None else n_classes
        consecutive = replace(info, label_values=tuple(range(n_classes)), ignored_value=ignored)
        write_classes(classes, consecutive, geometry, targets[0], label)


def _fits(case: Case, path: Path, first: Geometry) -> bool:
    """Return whether a file has three axes in the order and at the place of the first volume's."""
    if len(nib.load(path).shape) != 3:
        return False
    own = geometry_of(open_image(case, path))
    return own.shape == first.shape and np.allclose(own.affine, first.affine, atol=GRID_TOLERANCE)


def _write_channel(channel: np.ndarray, geometry: Geometry, path: Path, target: Path) -> None:
    """Write a channel (D, H, W) on the first volume's grid, in the type of its file if integer."""
    source = nib.load(path)
    stored = geometry.to_stored(channel)
    dtype = source.get_data_dtype()
    is_exact = dtype.kind in "iu" and np.array_equal(stored, stored.astype(dtype))
    image = nib.Nifti1Image(stored.astype(dtype if is_exact else np.float32), geometry.affine)
    image.header.set_xyzt_units("mm")
    with new_file(target) as unfinished:
        nib.save(image, unfinished)


def _copy(path: Path, target: Path) -> None:
    with new_file(target) as unfinished, naming(path):
        if path.name.endswith(ENDING):
            shutil.copyfile(path, unfinished)
            return
        with (
            path.open("rb") as source,
            unfinished.open("wb") as stream,
            gzip.GzipFile("", "wb", LEVEL, stream, mtime=0) as packed,
        ):
            shutil.copyfileobj(source, packed, 1 << 20)
