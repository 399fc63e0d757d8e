"""How the voxels of a file are placed in space, and whether the files of a case share one grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from datasets.base import Case, DataError, SpacingMm, VolumeShape

SPACING_TOLERANCE_MM = 1e-3
POSITION_TOLERANCE_VOX = 0.1  # headers are single precision; quaternions lose more over 512 voxels


@dataclass(frozen=True)
class Geometry:
    """How an array is stored in its file; enough to write a prediction onto the file's grid."""

    shape: tuple[int, int, int]  # as stored
    affine: np.ndarray  # (4, 4), voxel index as stored to mm RAS
    orientation: np.ndarray  # (3, 2), nibabel's: for each stored axis the RAS axis and its sign
    spacing_mm: SpacingMm
    spacing_stated: bool = True  # False: the header holds a voxel size of 0; 1 mm stands for it
    orientation_stated: bool = True  # False: the affine is a guess

    @property
    def codes(self) -> str:  # directions of the stored axes, such as LPS
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def canonical_shape(self) -> VolumeShape:
        x, y, z = (self.shape[axis] for axis in np.argsort(self.orientation[:, 0]))
        return z, y, x

    @property
    def canonical_affine(self) -> np.ndarray:  # of the array in RAS order (W, H, D)
        return self.affine @ nib.orientations.inv_ornt_aff(self.orientation, self.shape)

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """Return a view (D, H, W) of an array as stored."""
        return nib.apply_orientation(array, self.orientation).transpose(2, 1, 0)

    def to_stored(self, array: np.ndarray) -> np.ndarray:
        ras = nib.io_orientation(np.eye(4))
        back = nib.orientations.ornt_transform(ras, self.orientation)
        return nib.apply_orientation(array.transpose(2, 1, 0), back)


def read_geometry(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> Geometry:
    """Return how an array of three axes is placed; raise DataError if the affine has no inverse."""
    with np.errstate(all="ignore"):
        lengths = voxel_sizes(affine)
    if not (np.isfinite(affine).all() and np.isfinite(lengths).all() and (lengths > 1e-6).all()):
        rule = "the affine must be finite with positive voxel sizes"
        found = f"got sizes {lengths.tolist()} mm"
        raise DataError(f"{path}: {rule}, {found} (export the volume again)")
    with np.errstate(all="ignore"):
        orientation = nib.io_orientation(affine)
    if np.isnan(orientation).any():
        rule = f"the affine maps two axes onto one, got {affine.tolist()}"
        raise DataError(f"{path}: {rule} (export the volume again)")
    canonical = np.empty(3)
    canonical[orientation[:, 0].astype(int)] = lengths
    x, y, z = canonical.round(6).tolist()
    return Geometry((shape[0], shape[1], shape[2]), affine, orientation, (z, y, x))


def align_images(
    case: Case, grids: Mapping[Path, Geometry]
) -> tuple[dict[Path, Geometry], list[str]]:
    """Return on which grid each image is to be read, and warnings.

    An image stored in another order is turned by its own affine; one that differs only in position
    or direction gets the first one's.

    Raises: DataError naming the file if shape, spacing or orientation differs from the first.
    """
    first = next(iter(grids.values()))
    chosen = dict(grids)
    warnings = []
    for path, grid in grids.items():
        if is_same_grid(grid, first):
            continue
        where = f"{path}: case {case.id} needs all volumes on one grid"
        if grid.canonical_shape != first.canonical_shape:
            found = f"got shape {grid.shape} beside {first.shape}"
            raise DataError(f"{where}, {found} (register the volumes)")
        if not np.allclose(grid.spacing_mm, first.spacing_mm, atol=SPACING_TOLERANCE_MM):
            found = f"got spacing {grid.spacing_mm} mm beside {first.spacing_mm} mm"
            raise DataError(f"{where}, {found} (resample one)")
        if not np.array_equal(grid.orientation, first.orientation):
            found = f"got orientation {grid.codes} beside {first.codes}"
            raise DataError(f"{where}, {found} (mend the header)")
        chosen[path] = first
        text = "differs in position or direction from the first volume's"
        warnings.append(f"{path}: header of case {case.id} {text}")
    return chosen, warnings


def is_spacing_known(case: Case, grid: Geometry) -> bool:
    """Return whether the header states a spacing, and not the 1 mm that is wrong for this case."""
    return grid.spacing_stated and (case.spacing_known or grid.spacing_mm != (1.0, 1.0, 1.0))


def is_same_grid(first: Geometry, second: Geometry) -> bool:
    """Return whether the voxels of both have the same places, stored in any order."""
    if first.canonical_shape != second.canonical_shape:
        return False
    return distance_mm(first, second) <= POSITION_TOLERANCE_VOX * min(first.spacing_mm)


def distance_mm(first: Geometry, second: Geometry) -> float:
    """Return how far corners of the same canonical index are apart, along the worst axis."""
    last_d, last_h, last_w = np.subtract(first.canonical_shape, 1).tolist()
    corners = np.array(list(product((0, last_w), (0, last_h), (0, last_d))))
    first_corners = apply_affine(first.canonical_affine, corners)
    second_corners = apply_affine(second.canonical_affine, corners)
    return float(np.abs(first_corners - second_corners).max())
