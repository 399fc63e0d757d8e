"""From NIfTI files to arrays (D, H, W) in one orientation.

D runs over axial slices from feet to head, H from back to front, W from left to right (RAS,
transposed). The image
decides: its affine gives orientation and spacing, and everything else of the case lies on its grid.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from datasets.base import Case, DataError, DatasetInfo
from datasets.volumes.geometry import Geometry, align_images, align_label, read_geometry
from datasets.volumes.nifti import VolumeFile, open_volume
from datasets.volumes.values import Range, UnknownValues, classify

log = logging.getLogger(__name__)


def read_image(case: Case) -> tuple[np.ndarray, Geometry]:
    """Return all channels of a case, float32 (C, D, H, W), and the geometry of the first.

    Raises: DataError naming the file if one cannot be read, holds NaN or inf, or lies on another
    grid than the first.
    """
    files = {path: open_image(case, path) for path in dict.fromkeys(case.images.values())}
    grids, warnings = align_images(
        case, {path: geometry_of(volume) for path, volume in files.items()}
    )
    for warning in warnings:
        log.warning(warning)
    first = grids[next(iter(files))]
    image = np.empty((len(case.images), *first.canonical_shape), dtype=np.float32)
    for path, volume in files.items():
        stored = _read_finite(case, volume)
        for index, each in enumerate(case.images.values()):
            if each == path:
                image[index] = grids[path].to_canonical(
                    stored[..., case.stack[index]] if case.stack else stored
                )
    return image, first


def read_label(case: Case, info: DatasetInfo, geometry: Geometry) -> np.ndarray:
    """Return the class map of a case, uint8 (D, H, W), on the image's grid.

    Raises: DataError naming case and file if it lies on another grid, or a value is none of
    ``info.label_values``.
    """
    volume, grid, warning = open_label(case, geometry)
    if warning:
        log.warning(warning)
    classes = np.empty(int(np.prod(volume.shape)), dtype=np.uint8)
    unknown = UnknownValues()
    start = 0
    for block in volume.blocks():
        part = classes[start : start + block.size]
        part[:] = classify(block, info)
        unknown.see(block, part)
        start += block.size
    unknown.check(volume.path, case.id, info)
    return np.ascontiguousarray(grid.to_canonical(classes.reshape(volume.shape, order="F")))


def open_image(case: Case, path: Path) -> VolumeFile:
    """Read the header of an image.

    Raises: DataError if the file cannot be read, or if its axes are not those of a case of this
    data set.
    """
    volume = open_volume(path, case.id)
    if case.stack and volume.shape[3:] != (len(case.stack),):
        n_channels = len(case.stack)
        raise DataError(
            f"{path}: file of case {case.id} must have {n_channels} channels on a 4th axis, got shape {volume.shape}"
        )
    if not case.stack:
        _check_axes(volume)
    return volume


def open_label(case: Case, geometry: Geometry | None) -> tuple[VolumeFile, Geometry, str]:
    """Read the header of a label; return with it the grid to read it on, and a warning if the header is wrong.

    Without the geometry of an image the label is taken as its own header says.

    Raises: DataError as `open_volume` and `align_label`.
    """
    assert case.label is not None, "only labelled cases have a class map"
    volume = open_volume(case.label, case.id)
    _check_axes(volume)
    own = geometry_of(volume)
    return volume, *(align_label(case, case.label, own, geometry) if geometry else (own, ""))


def geometry_of(volume: VolumeFile) -> Geometry:
    """Return how a volume lies in space.

    Raises: DataError if its affine is no map with an inverse.
    """
    return read_geometry(volume.path, volume.shape[:3], volume.affine)


def _read_finite(case: Case, volume: VolumeFile) -> np.ndarray:
    flat = np.empty(int(np.prod(volume.shape)), dtype=np.float32)
    found = Range()
    start = 0
    for block in volume.blocks():
        flat[start : start + block.size] = block
        found.see(block)
        start += block.size
    found.check(volume.path, case.id)
    return flat.reshape(volume.shape, order="F")


def _check_axes(volume: VolumeFile) -> None:
    if len(volume.shape) != 3:
        hint = "one time point or channel a file; split it"
        raise DataError(
            f"{volume.path}: file of case {volume.case} must have 3 axes, got shape {volume.shape} ({hint})"
        )
