"""How the voxels of a file lie in space, and whether the files of a case lie on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from datasets.base import Case, DataError

SPACING_TOLERANCE_MM = 1e-3
POSITION_TOLERANCE_VOX = (
    0.1  # headers keep single precision, and quaternions lose more of it over 512 voxels
)


@dataclass(frozen=True)
class Geometry:
    """How an array lies in its file; enough to write a prediction back onto the file's grid."""

    shape: tuple[int, int, int]  # as stored
    affine: np.ndarray  # (4, 4), voxel index as stored to mm RAS
    orientation: np.ndarray  # (3, 2), nibabel's: for each stored axis the RAS axis and its sign
    spacing_mm: tuple[float, float, float]  # in (D, H, W) order

    @property
    def codes(self) -> str:
        """The directions of the stored axes, such as LPS."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """The shape (D, H, W) of the array in canonical orientation."""
        x, y, z = (self.shape[axis] for axis in np.argsort(self.orientation[:, 0]))
        return z, y, x

    @property
    def canonical_affine(self) -> np.ndarray:
        """The affine of the array in RAS order (W, H, D)."""
        turned: np.ndarray = self.affine @ nib.orientations.inv_ornt_aff(
            self.orientation, self.shape
        )
        return turned

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


def read_geometry(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> Geometry:
    """Return how an array of three axes lies in space by its affine; ``path`` is for the error.

    Raises: DataError if the affine is no map with an inverse.
    """
    lengths = voxel_sizes(affine)
    if not (np.isfinite(affine).all() and (lengths > 0).all()):
        raise DataError(
            f"{path}: the affine must be finite with positive voxel sizes, got sizes {lengths.tolist()} mm "
            "(export the volume again)"
        )
    orientation = nib.io_orientation(affine)
    if np.isnan(orientation).any():
        raise DataError(
            f"{path}: the affine maps two axes onto one, got {affine.tolist()} (export the volume again)"
        )
    canonical = np.empty(3)
    canonical[orientation[:, 0].astype(int)] = lengths
    x, y, z = (float(value) for value in canonical.round(6))
    return Geometry((shape[0], shape[1], shape[2]), affine, orientation, (z, y, x))


def align_images(
    case: Case, grids: Mapping[Path, Geometry]
) -> tuple[dict[Path, Geometry], list[str]]:
    """Return on which grid each image is to be read, and warnings.

    An image that is the first one's grid stored in another order is turned by its own affine; one
    that differs in position or direction alone is read as if it had the first one's affine.

    Raises: DataError naming the file whose shape, spacing or orientation is another.
    """
    first = next(iter(grids.values()))
    chosen, warnings = dict(grids), []
    for path, grid in grids.items():
        where = f"{path}: case {case.id} needs all volumes on one grid"
        if is_same_grid(grid, first):
            continue
        if grid.canonical_shape != first.canonical_shape:
            raise DataError(
                f"{where}, got shape {grid.shape} beside {first.shape} (register the volumes)"
            )
        if not np.allclose(grid.spacing_mm, first.spacing_mm, atol=SPACING_TOLERANCE_MM):
            raise DataError(
                f"{where}, got spacing {grid.spacing_mm} mm beside {first.spacing_mm} mm (resample one)"
            )
        if not np.array_equal(grid.orientation, first.orientation):
            raise DataError(
                f"{where}, got orientation {grid.codes} beside {first.codes} (mend the header)"
            )
        chosen[path] = first
        warnings.append(
            f"{path}: header of case {case.id} differs in position or direction from the first volume's"
        )
    return chosen, warnings


def align_label(case: Case, path: Path, label: Geometry, image: Geometry) -> tuple[Geometry, str]:
    """Return on which grid a label is to be read, and a warning if its header is wrong.

    A label whose affine says that it is the image's grid in another order is turned by that affine.
    Otherwise, if the stored shapes agree, it lies on the image's grid whatever its header says, as
    labels of LiTS have to be read.

    Raises: DataError naming case and file if shape or spacing is another.
    """
    if is_same_grid(label, image):
        return label, ""
    where = f"{path}: label of case {case.id}"
    if label.shape != image.shape:
        raise DataError(
            f"{where} has shape {label.shape}, its image {image.shape} (fetch both again)"
        )
    sizes, image_sizes = voxel_sizes(label.affine), voxel_sizes(image.affine)
    says_nothing = np.allclose(sizes, 1, atol=SPACING_TOLERANCE_MM)
    if not says_nothing and not np.allclose(sizes, image_sizes, atol=SPACING_TOLERANCE_MM):
        found = f"{_format(sizes)} mm, its image {_format(image_sizes)} mm"
        raise DataError(
            f"{where} has spacing {found} (resample the label to its image, or fetch both again)"
        )
    return (
        image,
        f"{where} has a header unlike its image's ({label.codes} beside {image.codes}); the image's is taken",
    )


def is_same_grid(one: Geometry, other: Geometry) -> bool:
    """Whether the voxels of both lie at the same places, in whatever order they are stored."""
    if one.canonical_shape != other.canonical_shape:
        return False
    corners = np.array(list(product(*((0, size - 1) for size in reversed(one.canonical_shape)))))
    distance = np.abs(
        apply_affine(one.canonical_affine, corners) - apply_affine(other.canonical_affine, corners)
    )
    return bool(distance.max() <= POSITION_TOLERANCE_VOX * min(one.spacing_mm))


def _format(sizes: np.ndarray) -> str:
    return f"({', '.join(f'{size:g}' for size in sizes)})"
