"""What the header of a NIfTI file states of the places of its voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

UNIT_BITS = 7  # of xyzt_units; the others are of time
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 1e-3}  # metre, millimetre, micrometre


@dataclass(frozen=True)
class Placement:
    """Where the voxels are, and what of it is stated."""

    affine: np.ndarray  # (4, 4), voxel index as stored to mm RAS
    orientation_stated: bool  # otherwise the affine is nibabel's guess, from the voxel sizes
    spacing_stated: bool  # otherwise 1 mm stands for each size of 0
    unit_stated: bool  # otherwise mm

    @property
    def is_blank(self) -> bool:
        """Return whether no orientation is stated, or nothing but zeros."""
        return not self.orientation_stated or not self.affine[:3].any()


@dataclass(frozen=True)
class RawHeader:
    """Fields of a header as they are in the file; lengths in mm."""

    sform: np.ndarray | None  # (4, 4); None if its code is 0
    qform: np.ndarray | None  # the same; also None if it cannot be computed
    qform_stated: bool
    sizes: np.ndarray  # pixdim[1:4]
    qfac: float  # pixdim[0]
    slope: float
    intercept: float


def has_default_axes(affine: np.ndarray) -> bool:
    """Return whether the voxels are of 1 mm along the axes of NIfTI or of ITK.

    Tools write this of an array of which they know no more.
    """
    axes = affine[:3, :3]
    return bool(np.array_equal(axes, np.eye(3)) or np.array_equal(axes, np.diag([-1, -1, 1])))


def read_placement(header: Any, affine: np.ndarray, raw: bytes) -> tuple[Placement, RawHeader]:
    """Return the placement of voxels by nibabel's header and affine, and the header by its bytes.

    nibabel puts 1 in place of voxel sizes of 0, and leaves the affine in the header's own unit.
    """
    stored = type(header)(raw, header.endianness, check=False)
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    spacing_stated = bool(header["sform_code"] or (sizes != 0).all())
    unit = MM_PER_UNIT.get(int(header["xyzt_units"]) & UNIT_BITS)
    mm = unit if unit and spacing_stated else 1.0
    placement = Placement(
        affine=_scale(np.asarray(affine, dtype=np.float64), mm),
        orientation_stated=bool(header["sform_code"] or header["qform_code"]),
        spacing_stated=spacing_stated,
        unit_stated=unit is not None,
    )
    return placement, RawHeader(
        sform=_scale(stored.get_sform(), mm) if stored["sform_code"] else None,
        qform=_read_qform(stored, mm),
        qform_stated=bool(stored["qform_code"]),
        sizes=sizes * mm,
        qfac=float(stored["pixdim"][0]),
        slope=float(stored["scl_slope"]),
        intercept=float(stored["scl_inter"]),
    )


def _scale(affine: np.ndarray, mm: float) -> np.ndarray:
    return affine if mm == 1.0 else np.diag([mm, mm, mm, 1.0]) @ affine


def _read_qform(stored: Any, mm: float) -> np.ndarray | None:
    if not stored["qform_code"]:
        return None
    try:
        return _scale(stored.get_qform(), mm)
    except (HeaderDataError, ValueError):  # no quaternion, or negative voxel sizes
        return None
