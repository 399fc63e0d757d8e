"""In what the grids of two label files differ, in words."""

import numpy as np

from datasets.volumes.geometry import (
    POSITION_TOLERANCE_VOX,
    SPACING_TOLERANCE_MM,
    Geometry,
    is_same_grid,
)

DIRECTION_TOLERANCE = 1e-3  # of the cosines


def describe_difference(found: Geometry, wanted: Geometry) -> str:
    """Return what differs between two grids, and both of them; empty if they are one.

    The order in which axes are stored is no difference.
    """
    if is_same_grid(found, wanted):
        return ""
    parts = []
    if found.canonical_shape != wanted.canonical_shape:
        parts.append("shape")
    if not np.allclose(found.spacing_mm, wanted.spacing_mm, atol=SPACING_TOLERANCE_MM):
        parts.append("spacing")
    if not np.allclose(_directions(found), _directions(wanted), atol=DIRECTION_TOLERANCE):
        parts.append("direction")
    distance_mm = float(np.linalg.norm(_first_voxel(found) - _first_voxel(wanted)))
    if distance_mm > POSITION_TOLERANCE_VOX * min(wanted.spacing_mm):
        parts.append(f"position by {distance_mm:.3g} mm")
    what = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]] if parts else ["affine"]))
    return f"{describe_grid(wanted)}, got {describe_grid(found)}: they differ in {what}"


def describe_grid(grid: Geometry) -> str:
    """Return shape, axis codes, spacing and the place of the first voxel in RAS order."""
    spacing = " x ".join(f"{length:g}" for length in grid.spacing_mm)
    place = ", ".join(f"{length:g}" for length in _first_voxel(grid).round(2))
    return f"{grid.shape} {grid.codes} of {spacing} mm from ({place})"


def _directions(grid: Geometry) -> np.ndarray:
    axes = grid.canonical_affine[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)


def _first_voxel(grid: Geometry) -> np.ndarray:
    """Return the place (x, y, z) in mm of the voxel that is first in RAS order."""
    return grid.canonical_affine[:3, 3] + 0.0  # no -0
