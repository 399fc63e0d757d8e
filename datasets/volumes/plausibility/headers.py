"""Headers that other tools read otherwise, and voxels that no scan of the release has."""

import numpy as np
from nibabel.affines import voxel_sizes

from datasets.base import Release
from datasets.volumes.geometry import POSITION_TOLERANCE_VOX, SPACING_TOLERANCE_MM, Geometry
from datasets.volumes.header import RawHeader
from datasets.volumes.nifti import VolumeFile

SKEW_TOLERANCE_DEG = 0.005  # SimpleITK 2.5 reads 0.005 and refuses 0.01
SIZE_TOLERANCE = 1e-3  # of pixdim, relative to the affine's voxel size
SMALLEST_MM, LARGEST_MM = 0.1, 12.0  # a voxel's edge in a clinical CT or MRI


def check_header(volume: VolumeFile) -> list[str]:
    """Return a sentence for each way in which the header of a file can be read otherwise."""
    where = f"{volume.path}: file of case {volume.case}"
    with np.errstate(all="ignore"):  # a damaged header may hold any number
        sentences = [
            _compare_forms(volume),
            _compare_sizes(volume.raw),
            _measure_skew(volume.placement.affine),
            _check_scaling(volume.raw),
            _check_handedness(volume.raw),
        ]
    return [f"{where} {sentence}" for sentence in sentences if sentence]


def check_spacing(volume: VolumeFile, grid: Geometry, release: Release | None) -> list[str]:
    """Return a sentence if voxels have sizes that no scan has, or none of the release."""
    where = f"{volume.path}: file of case {volume.case}"
    if not grid.spacing_stated:
        return []
    sizes = grid.spacing_mm
    shown = " x ".join(f"{size:g}" for size in sizes)
    if min(sizes) < SMALLEST_MM or max(sizes) > LARGEST_MM:
        hint = f"expected {SMALLEST_MM:g} to {LARGEST_MM:g} mm; is the unit of the header right?"
        return [f"{where} has voxels of {shown} mm ({hint})"]
    promised = release.spacing_mm if release else None
    if release and promised and not np.allclose(sizes, promised, atol=SPACING_TOLERANCE_MM):
        expected = f"{release.title} has {promised:g} mm (a native copy?)"
        return [f"{where} has voxels of {shown} mm, {expected}"]
    return []


def _compare_forms(volume: VolumeFile) -> str:
    """Return how far qform and sform place the last voxel apart, if it is far."""
    qform, sform = volume.raw.qform, volume.raw.sform
    if qform is None or sform is None:
        return ""
    last = np.array([*np.subtract(volume.shape[:3], 1), 1])
    first = np.array([0, 0, 0, 1])
    distance = max(np.abs((qform - sform) @ corner).max() for corner in (first, last))
    if not distance > POSITION_TOLERANCE_VOX * voxel_sizes(sform).min():
        return ""
    hint = "the sform is taken, ITK may take the qform: make them equal"
    return f"has its voxels {distance:.3g} mm apart by qform and sform ({hint})"


def _compare_sizes(raw: RawHeader) -> str:
    if (raw.sizes < 0).any():
        return f"states voxel sizes of {_format(raw.sizes)} mm (their signs are not used)"
    if raw.sform is None:
        return ""
    if not raw.sizes.all():
        found = f"states voxel sizes of {_format(raw.sizes)} mm by pixdim"
        return f"{found} (those of the affine are taken, ITK takes 1 mm)"
    sizes = voxel_sizes(raw.sform)
    if not sizes.all() or np.allclose(raw.sizes, sizes, rtol=SIZE_TOLERANCE, atol=0):
        return ""
    found = f"has voxels of {_format(sizes)} mm by its affine, {_format(raw.sizes)} mm by pixdim"
    return f"{found} (the affine is taken, ITK takes pixdim)"


def _measure_skew(affine: np.ndarray) -> str:
    """Return at which angle two axes meet, if it is not a right one."""
    lengths = voxel_sizes(affine)
    if not lengths.all():
        return ""
    axes = affine[:3, :3] / lengths
    cosines = np.abs(axes.T @ axes - np.eye(3)).max()
    skew = float(np.degrees(np.arcsin(min(cosines, 1.0))))
    if skew <= SKEW_TOLERANCE_DEG:
        return ""
    hint = "ITK, and what reads by it, refuses the file: resample it to right angles"
    return f"has axes that meet at {90 - skew:.4g} degrees ({hint})"


def _check_scaling(raw: RawHeader) -> str:
    has_slope = np.isfinite(raw.slope) and raw.slope != 0
    if has_slope or not np.isfinite(raw.intercept) or raw.intercept == 0:
        return ""
    found = f"states an intercept of {raw.intercept:g} with a slope of {raw.slope:g}"
    return f"{found}, so that neither is applied (values may be off by it)"


def _check_handedness(raw: RawHeader) -> str:
    """Return a sentence if only the qform places the voxels, and its sign is missing."""
    if not raw.qform_stated or raw.sform is not None or abs(raw.qfac) == 1:
        return ""
    return f"has {raw.qfac:g} for the sign of its third axis, 1 is taken (it may be flipped)"


def _format(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
