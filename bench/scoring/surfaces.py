"""Surface metrics of two masks: the 95th-percentile Hausdorff distance and the surface Dice.

The Hausdorff distance takes the filled voxels with an empty one beside them (6 neighbours), as
MONAI, medpy and nnU-Net do. The surface Dice takes the surface between voxels by area, as the KiTS
challenge does; counting voxels gives other numbers. Time and memory grow with the surfaces, not
with the volume, unless the masks are noise.

References: Taha & Hanbury 2015, BMC Medical Imaging 15:29; Nikolov et al. 2021, J Med Internet Res
23(7):e26151.
"""

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial import KDTree

from bench.scoring.surfels import FULL, surface_areas_mm2, surface_codes

HD95_VARIANTS = ("max", "pooled")
VOXELS_PER_SEARCH = 16  # for which a distance transform costs as much as searching one in a tree
ROUNDING_MM = 1e-6  # a distance that equals the tolerance but for rounding is within it

Spacing = tuple[float, float, float]


def hausdorff_95(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing, variant: str = "max"
) -> float:
    """Return the 95th-percentile Hausdorff distance of two masks, bool (D, H, W), not empty, in mm.

    ``max`` is the larger of the two directed 95th percentiles, ``pooled`` the percentile of both
    directions together (medpy), interpolated linearly. Voxels at the volume's edge are surface.

    Raises: ValueError for an unknown variant.
    """
    if variant not in HD95_VARIANTS:
        raise ValueError(f"hd95: variant must be {' or '.join(HD95_VARIANTS)}, got '{variant}'")
    first, second = _surface_voxels(prediction), _surface_voxels(reference)
    directed = [_distances_mm(first, second, spacing_mm), _distances_mm(second, first, spacing_mm)]
    if variant == "pooled":
        return float(np.percentile(np.concatenate(directed), 95))
    return max(float(np.percentile(distances, 95)) for distances in directed)


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing, tolerance_mm: float
) -> float:
    """Return the fraction in [0, 1] of both surfaces, by area, within the tolerance of the other.

    Masks are bool (D, H, W) and not empty.
    """
    limit_mm = tolerance_mm + ROUNDING_MM
    codes = [surface_codes(mask) for mask in (prediction, reference)]
    surfaces = [(code != 0) & (code != FULL) for code in codes]
    table = surface_areas_mm2(spacing_mm)
    within_mm2 = total_mm2 = 0.0
    for code, start, end in zip(codes, surfaces, surfaces[::-1], strict=True):
        areas_mm2 = table[code[start]]
        within_mm2 += areas_mm2[_distances_mm(start, end, spacing_mm, limit_mm) <= limit_mm].sum()
        total_mm2 += areas_mm2.sum()
    return float(within_mm2 / total_mm2)


def bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Return the smallest box around the set voxels of a mask (D, H, W); empty if none is."""
    slices = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        slices.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
    return slices[0], slices[1], slices[2]


def _surface_voxels(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask)


def _distances_mm(
    start: np.ndarray, end: np.ndarray, spacing_mm: Spacing, limit_mm: float = float("inf")
) -> np.ndarray:
    """Return the distance from each voxel of ``start`` to the nearest of ``end``.

    A distance above the limit may be inf. Both ways are exact; the tree is faster for thin surfaces
    in a large box, the transform for dense ones.
    """
    origins, targets = _voxels(start), _voxels(end)
    if VOXELS_PER_SEARCH * (len(origins) + len(targets)) > start.size:
        return distance_transform_edt(~end, sampling=spacing_mm)[start]
    # These two switches build the tree faster; on a grid it is no slower to search.
    tree = KDTree(targets * np.asarray(spacing_mm), balanced_tree=False, compact_nodes=False)
    return tree.query(origins * np.asarray(spacing_mm), distance_upper_bound=limit_mm)[0]


def _voxels(mask: np.ndarray) -> np.ndarray:
    """Return the indices (n, 3) of the set voxels, several times faster than np.argwhere."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)
