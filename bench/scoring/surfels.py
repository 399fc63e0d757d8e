"""The area of the surface between eight neighbouring voxels, for each of their 256 fillings.

Marching cubes with the surface halfway between voxels: a filling gives up to four plane pieces,
each an area vector, whose length is its area. 13 fillings are enough: the others are these turned,
mirrored or inverted. Pieces that are open to choice are those of the public surface-distance code,
so that surface Dice agrees with it and with MONAI (``use_subvoxels=True``).

Reference: Nikolov et al. 2021, J Med Internet Res 23(7):e26151 (surface Dice).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations, product

import numpy as np

CORNERS = tuple(product((0, 1), repeat=3))  # bit i of a code says whether CORNERS[i] is filled
FULL = 255

# Code -> area vectors in eighths of a voxel's faces, signs left out: they do not change a length.
PIECES: dict[int, tuple[tuple[int, int, int], ...]] = {
    1: ((1, 1, 1),),
    3: ((4, 4, 0),),
    6: ((2, 2, 2),),
    7: ((4, 0, 0), (3, 3, 3)),
    15: ((8, 0, 0),),
    22: ((3, 3, 3),),
    23: ((6, 6, 6),),
    24: ((2, 2, 2),),
    25: ((0, 4, 4), (1, 1, 1)),
    27: ((4, 4, 4), (0, 2, 2), (2, 0, 2)),
    30: ((4, 0, 0), (4, 4, 4)),
    60: ((8, 8, 0),),
    105: ((4, 4, 4),),
}


def surface_codes(mask: np.ndarray) -> np.ndarray:
    """Return which of the eight voxels around each voxel corner are filled, a bit for each.

    From bool (D, H, W) to uint8 (D+1, H+1, W+1). The surface is where a code is not 0 or `FULL`.
    """
    codes: np.ndarray = np.pad(mask, 1).view(np.uint8)
    codes = codes[:, :, :-1] | codes[:, :, 1:] << 1
    codes = codes[:, :-1] | codes[:, 1:] << 2
    return codes[:-1] | codes[1:] << 4  # bit 4 d + 2 h + w, as in CORNERS


@cache
def surface_areas_mm2(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Return the area in mm2 of each code's surface, float64 (256,)."""
    depth, height, width = spacing_mm
    face_mm2 = np.array([height * width, depth * width, depth * height]) / 8
    areas = np.zeros(256)
    for representative, pieces in PIECES.items():
        for code, axes in _iter_alike(representative):
            areas[code] = sum(np.linalg.norm(np.take(piece, axes) * face_mm2) for piece in pieces)
    return areas


def _iter_alike(code: int) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield all turned, mirrored and inverted forms of a code, with the axes of their pieces."""
    filled = [corner for bit, corner in enumerate(CORNERS) if code >> bit & 1]
    for axes, mirrored in product(permutations(range(3)), CORNERS):
        alike = 0
        for corner in filled:
            moved = (corner[axis] ^ flip for axis, flip in zip(axes, mirrored, strict=True))
            alike |= 1 << CORNERS.index(tuple(moved))
        yield alike, axes
        yield FULL - alike, axes
