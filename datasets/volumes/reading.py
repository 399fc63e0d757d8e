"""From NIfTI files to arrays (D, H, W) in one orientation, on the grid of the first image.

D runs over axial slices from feet to head, H from back to front, W from left to right (RAS,
transposed).
"""

import logging
from pathlib import Path

import numpy as np

from datasets.base import Case, DataError, DatasetInfo
from datasets.volumes.geometry import Geometry, align_images
from datasets.volumes.labels import geometry_of, place_label
from datasets.volumes.nifti import VolumeFile, open_volume
from datasets.volumes.values import UnknownValues, ValueRange, classify

log = logging.getLogger(__name__)


def read_image(case: Case) -> tuple[np.ndarray, Geometry]:
    """Return all channels of a case, float32 (C, D, H, W), and the geometry of the first.

    Raises: DataError naming a file that is unreadable, holds NaN or inf, or has another grid.
    """
    files = {path: open_image(case, path) for path in dict.fromkeys(case.images.values())}
    own_grids = {path: geometry_of(volume) for path, volume in files.items()}
    grids, warnings = align_images(case, own_grids)
    for warning in warnings:
        log.warning(warning)
    first = next(iter(grids.values()))
    image = np.empty((len(case.images), *first.canonical_shape), dtype=np.float32)
    for path, volume in files.items():
        stored = _read_finite(case, volume)
        for index, channel_path in enumerate(case.images.values()):
            if channel_path == path:
                channel = stored[..., case.stack[index]] if case.stack else stored
                image[index] = grids[path].to_canonical(channel)
    return image, first


def read_label(case: Case, info: DatasetInfo, geometry: Geometry) -> np.ndarray:
    """Return the class map of a case, uint8 (D, H, W), on the image's grid.

    Raises: DataError naming case and file if the grid differs or a value has no class.
    """
    volume, grid, warning = open_label(case, geometry)
    if warning:
        log.warning(warning)
    classes = volume.new_array(np.uint8)
    unknown = UnknownValues()
    for where, block in volume.iter_blocks():
        classes[where] = classify(block, info)
        unknown.add(block, classes[where])
    unknown.check(volume.path, case.id, info)
    return np.ascontiguousarray(grid.to_canonical(classes.reshape(volume.shape, order="F")))


def open_image(case: Case, path: Path) -> VolumeFile:
    """Read the header of an image; raise DataError if it is unreadable or has the wrong axes."""
    volume = open_volume(path, case.id)
    n_channels = len(case.stack)
    if n_channels == 0:
        _check_axes(volume)
    elif volume.shape[3:] != (n_channels,):
        rule = f"must have {n_channels} channels on a 4th axis, got shape {volume.shape}"
        raise DataError(f"{path}: file of case {case.id} {rule}")
    return volume


def open_label(case: Case, geometry: Geometry | None) -> tuple[VolumeFile, Geometry, str]:
    """Return the file, the grid to read it on (its own without ``geometry``), and a warning or "".

    Raises: DataError as `open_volume` and `place_label`.
    """
    assert case.label is not None, "only labelled cases have a class map"
    volume = open_volume(case.label, case.id)
    _check_axes(volume)
    if geometry is None:
        return volume, geometry_of(volume), ""
    return volume, *place_label(volume, geometry)


def _read_finite(case: Case, volume: VolumeFile) -> np.ndarray:
    values = volume.new_array(np.float32)
    found = ValueRange()
    for where, block in volume.iter_blocks():
        values[where] = block
        found.add(block)
    found.check(volume.path, case.id)
    return values.reshape(volume.shape, order="F")


def _check_axes(volume: VolumeFile) -> None:
    if len(volume.shape) != 3:
        rule = f"must have 3 axes, got shape {volume.shape}"
        hint = "one time point or channel a file; split it"
        raise DataError(f"{volume.path}: file of case {volume.case} {rule} ({hint})")
