"""On which grid the voxels of a label are to be read: by its own header, or by its image's."""

from dataclasses import replace

import numpy as np
from nibabel.affines import voxel_sizes

from datasets.base import DataError
from datasets.volumes.geometry import (
    SPACING_TOLERANCE_MM,
    Geometry,
    distance_mm,
    is_same_grid,
    read_geometry,
)
from datasets.volumes.header import has_default_axes
from datasets.volumes.nifti import VolumeFile


def geometry_of(volume: VolumeFile) -> Geometry:
    """Return how the voxels of a volume are placed; may raise as `read_geometry`."""
    placement = volume.placement
    own = read_geometry(volume.path, volume.shape[:3], placement.affine)
    return replace(
        own,
        spacing_stated=placement.spacing_stated,
        orientation_stated=placement.orientation_stated,
    )


def place_label(label: VolumeFile, image: Geometry) -> tuple[Geometry, str]:
    """Return on which grid a label is to be read, and a warning if its header is wrong.

    A label whose header states nothing (which labels of LiTS need), or the orientation of its
    image, is read on the image's grid. Every other label is turned by its own header.

    Raises: DataError naming case and file if shape or spacing differs, or if the label turned by
    its header is more than a voxel away from its image.
    """
    where = f"{label.path}: label of case {label.case}"
    if not label.placement.affine[:3].any():
        _check_shape(where, label, image)
        return image, _warn_of_header(where, "zeros", image)
    own = geometry_of(label)
    if is_same_grid(own, image):
        return own, ""
    if _states_nothing(label, image):
        _check_shape(where, label, image)
        _check_spacing(where, own, image)
        codes = own.codes if label.placement.orientation_stated else "none"
        return image, _warn_of_header(where, codes, image)
    if np.array_equal(own.orientation, image.orientation):
        _check_shape(where, label, image)
        _check_spacing(where, own, image)
        found = f"is {distance_mm(own, image):.3g} mm away from its image by its header"
        return image, f"{where} {found}; the image's is taken"
    return _turn(where, own, image)


def _states_nothing(label: VolumeFile, image: Geometry) -> bool:
    """Return whether the header is blank, or a tool's default that nobody set.

    Unit voxels along the default axes are a default at the origin, and anywhere if the image has
    other voxels.
    """
    placement = label.placement
    if placement.is_blank:
        return True
    is_at_origin = not placement.affine[:3, 3].any()
    is_unit = np.allclose(image.spacing_mm, 1, atol=SPACING_TOLERANCE_MM)
    return has_default_axes(placement.affine) and (is_at_origin or not is_unit)


def _turn(where: str, own: Geometry, image: Geometry) -> tuple[Geometry, str]:
    """Return the label's own grid; it is stored in another order than the image."""
    if not image.orientation_stated:
        found = f"is stored {own.codes}, the header of its image states no orientation"
        raise DataError(f"{where} {found} (if both arrays are in one order, give both one header)")
    codes = f"is stored {own.codes}, its image {image.codes}"
    if own.canonical_shape != image.canonical_shape:
        found = f"and has shape {own.shape}, its image {image.shape}"
        raise DataError(f"{where} {codes}, {found} (fetch both again)")
    if not np.allclose(own.spacing_mm, image.spacing_mm, atol=SPACING_TOLERANCE_MM):
        d_h_w = f"{_format(own.spacing_mm)} beside {_format(image.spacing_mm)} mm"
        raise DataError(f"{where} {codes}, and has spacing (D, H, W) {d_h_w} ({_advise(image)})")
    distance = distance_mm(own, image)
    if distance > min(own.spacing_mm):
        hint = "if both arrays are in one order, give the label its image's header"
        found = f"and is {distance:.3g} mm away from it by its own header"
        raise DataError(f"{where} {codes}, {found} ({hint}; else export the label again)")
    return own, f"{where} {codes}, {distance:.3g} mm away; it is turned by its own header"


def _warn_of_header(where: str, codes: str, image: Geometry) -> str:
    beside = f"{codes} beside {image.codes}"
    return f"{where} has a header unlike its image's ({beside}); the image's is taken"


def _check_shape(where: str, label: VolumeFile, image: Geometry) -> None:
    if label.shape != image.shape:
        found = f"has shape {label.shape}, its image {image.shape}"
        raise DataError(f"{where} {found} (fetch both again)")


def _check_spacing(where: str, own: Geometry, image: Geometry) -> None:
    """Raise DataError if the voxels, as stored, have other sizes, where both state them."""
    sizes = voxel_sizes(own.affine)
    image_sizes = voxel_sizes(image.affine)
    is_unset = not image.spacing_stated or np.allclose(sizes, 1, atol=SPACING_TOLERANCE_MM)
    if not is_unset and not np.allclose(sizes, image_sizes, atol=SPACING_TOLERANCE_MM):
        found = f"has spacing {_format(sizes)} mm, its image {_format(image_sizes)} mm"
        raise DataError(f"{where} {found} ({_advise(image)})")


def _advise(image: Geometry) -> str:
    """Return what to do about two spacings, by whose header says something."""
    if has_default_axes(image.affine) and not image.affine[:3, 3].any():
        rule = "if both arrays are in one order, give the image the label's"
        return f"the header of the image states nothing: {rule}"
    return "resample the label to its image, or fetch both again"


def _format(sizes: np.ndarray | tuple[float, ...]) -> str:
    return f"({', '.join(f'{size:g}' for size in sizes)})"
