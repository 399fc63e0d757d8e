"""From NIfTI files to arrays (D, H, W) in one orientation.

D runs over axial slices from feet to head, H from back to front, W from left to right (RAS, transposed). The image
decides: its affine gives orientation and spacing, and the label lies on its grid. Some releases carry labels with a
wrong header, and turning those by their own header would tear image and label apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from datasets.base import Case, DataError, DatasetInfo

READ_ERRORS = (EOFError, zlib.error, OSError, ImageFileError, HeaderDataError)
SPACING_TOLERANCE_MM = 1e-3
LABEL_TOLERANCE = 1e-3
UNKNOWN_CLASS = 255


@dataclass(frozen=True)
class Geometry:
    """How an array lies in its file; enough to write a prediction back onto the file's grid."""

    shape: tuple[int, int, int]  # as stored
    affine: np.ndarray  # (4, 4), voxel index as stored to mm RAS
    orientation: np.ndarray  # (3, 2), nibabel's: for each stored axis the RAS axis and its sign
    spacing_mm: tuple[float, float, float]  # in (D, H, W) order

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """Return a view (D, H, W) of an array as stored."""
        canonical: np.ndarray = nib.apply_orientation(array, self.orientation)
        return canonical.transpose(2, 1, 0)

    def to_stored(self, array: np.ndarray) -> np.ndarray:
        """Undo `to_canonical`."""
        ras = nib.io_orientation(np.eye(4))
        back = nib.orientations.ornt_transform(ras, self.orientation)
        stored: np.ndarray = nib.apply_orientation(array.transpose(2, 1, 0), back)
        return stored


def read_image(case: Case) -> tuple[np.ndarray, Geometry]:
    """Return all channels of a case, float32 (C, D, H, W), and the geometry that they share.

    Raises: DataError naming the file if one cannot be read, holds NaN or inf, or lies on another grid than the first.
    """
    image = np.empty(0, dtype=np.float32)
    first: Geometry | None = None
    for index, path in enumerate(case.images.values()):
        stored, geometry = _read_file(path, lambda proxy: np.asarray(proxy, dtype=np.float32))
        if first is None:
            first = geometry
            image = np.empty((len(case.images), *geometry.to_canonical(stored).shape), dtype=np.float32)
        _check_same_grid(case, path, geometry, first)
        image[index] = first.to_canonical(stored)
        if not np.isfinite(image[index]).all():
            raise DataError(f"{path}: intensities must be finite, found NaN or infinity in case {case.id}")
    assert first is not None, "a case has at least one channel"
    return image, first


def read_label(case: Case, info: DatasetInfo, geometry: Geometry) -> np.ndarray:
    """Return the class map of a case, uint8 (D, H, W), taken on the image's grid.

    Raises: DataError naming case and file if the shape is not the image's, or a value is none of ``info.label_values``.
    """
    assert case.label is not None, "only labelled cases have a class map"
    values, label_geometry = _read_file(case.label, _read_label_values)
    if label_geometry.shape != geometry.shape:
        raise DataError(
            f"{case.label}: label of case {case.id} has shape {label_geometry.shape}, its image {geometry.shape}"
        )
    classes = np.full(values.shape, UNKNOWN_CLASS, dtype=np.uint8)
    for index, value in enumerate(info.label_values):
        is_float = values.dtype.kind == "f"
        classes[np.abs(values - value) < LABEL_TOLERANCE if is_float else values == value] = index
    unknown = values[classes == UNKNOWN_CLASS]
    if unknown.size:
        found = ", ".join(f"{value:g}" for value in np.unique(unknown)[:5])
        allowed = ", ".join(str(value) for value in info.label_values)
        raise DataError(f"{case.label}: label of case {case.id} may hold {allowed}, found {found}")
    return np.ascontiguousarray(geometry.to_canonical(classes))


def _read_label_values(proxy: nib.arrayproxy.ArrayProxy) -> np.ndarray:
    """Keep integers as they are on disk: a float32 copy of a large label map is a gigabyte."""
    integers = proxy.dtype.kind in "iu" and (proxy.slope, proxy.inter) == (1, 0)
    return np.asanyarray(proxy) if integers else np.asarray(proxy, dtype=np.float32)


def _read_file(path: Path, read: Callable[[nib.arrayproxy.ArrayProxy], np.ndarray]) -> tuple[np.ndarray, Geometry]:
    try:
        image = nib.load(path)
        array = read(image.dataobj)
    except READ_ERRORS as error:
        size = path.stat().st_size if path.exists() else 0
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: cannot be read ({reason}; {size} bytes; fetch the file again)") from error
    while array.ndim > 3 and array.shape[-1] == 1:  # some tools leave trailing axes of one
        array = array[..., 0]
    if array.ndim != 3:
        raise DataError(f"{path}: a volume has 3 axes, got shape {array.shape}")
    return array, read_geometry(path, array.shape, image.affine)


def read_geometry(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> Geometry:
    """Return how an array of three axes lies in space by its affine; ``path`` is for the error.

    Raises: DataError if the affine is no map with an inverse.
    """
    lengths = voxel_sizes(affine)
    if not (np.isfinite(affine).all() and (lengths > 0).all()):
        raise DataError(f"{path}: the affine must be finite with positive voxel sizes, got sizes {lengths.tolist()} mm")
    orientation = nib.io_orientation(affine)
    if np.isnan(orientation).any():
        raise DataError(f"{path}: the affine maps two axes onto one, got {affine.tolist()}")
    canonical = np.empty(3)
    canonical[orientation[:, 0].astype(int)] = lengths
    x, y, z = (float(value) for value in canonical.round(6))
    return Geometry((shape[0], shape[1], shape[2]), affine, orientation, (z, y, x))


def _check_same_grid(case: Case, path: Path, geometry: Geometry, first: Geometry) -> None:
    where = f"{path}: case {case.id} needs all volumes on one grid"
    if geometry.shape != first.shape:
        raise DataError(f"{where}, got shape {geometry.shape} beside {first.shape}")
    if not np.allclose(geometry.spacing_mm, first.spacing_mm, atol=SPACING_TOLERANCE_MM):
        raise DataError(f"{where}, got spacing {geometry.spacing_mm} mm beside {first.spacing_mm} mm")
    if not np.array_equal(geometry.orientation, first.orientation):
        codes = ["".join(nib.aff2axcodes(each.affine)) for each in (geometry, first)]
        raise DataError(f"{where}, got orientation {codes[0]} beside {codes[1]}")
