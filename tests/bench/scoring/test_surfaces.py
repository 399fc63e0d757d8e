"""Surface metrics: cases computed by hand, then properties, then an independent library."""

import math

import numpy as np
import pytest
from scipy import ndimage

from bench.scoring import surfaces
from bench.scoring.surfaces import bounding_box, hausdorff_95, surface_dice
from bench.scoring.surfels import CORNERS, surface_areas_mm2, surface_codes

SHAPE = (12, 16, 20)
ISOTROPIC = (1.0, 1.0, 1.0)
SPACING_MM = (3.0, 0.5, 0.8)


def box(corner, size=(1, 1, 1), shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[
        tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
    ] = True
    return mask


def blobs(seed: int, shape=SHAPE) -> np.ndarray:
    """A few smooth blobs, some of which touch the edge of the volume."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma=rng.uniform(0.8, 2.0))
    return field > np.quantile(field, rng.uniform(0.7, 0.99))


PAIRS = [(blobs(2 * seed), blobs(2 * seed + 1)) for seed in range(200)]


@pytest.fixture(params=[0, math.inf], ids=["tree", "transform"])
def either_way(request, monkeypatch):
    """Distances by the search tree and by the distance transform, whichever would be chosen."""
    monkeypatch.setattr(surfaces, "VOXELS_PER_SEARCH", request.param)


BY_HAND = [
    (box((3, 3, 3)), box((3, 3, 3)), ISOTROPIC, 0.0),
    (box((3, 3, 3)), box((3, 3, 5)), ISOTROPIC, 2.0),  # two voxels apart
    (box((3, 3, 3)), box((4, 3, 3)), SPACING_MM, 3.0),  # one slice apart
    (box((3, 3, 3)), box((3, 5, 3)), SPACING_MM, 1.0),
    (box((3, 3, 3)), box((3, 3, 5)), SPACING_MM, 1.6),
    (box((2, 4, 4), (4, 4, 4)), box((3, 4, 4), (4, 4, 4)), SPACING_MM, 3.0),  # shifted cubes
    (box((2, 4, 4), (4, 4, 4)), box((2, 5, 4), (4, 4, 4)), SPACING_MM, 0.5),
    (box((0, 0, 0)), box((0, 0, 2)), ISOTROPIC, 2.0),  # at the edge of the volume
    (box((11, 15, 19)), box((11, 15, 17)), ISOTROPIC, 2.0),
    (
        box((0, 0, 0), SHAPE),
        box((0, 0, 0), SHAPE),
        ISOTROPIC,
        0.0,
    ),  # the whole volume: its faces are surface
    (box((0, 0, 0), SHAPE), box((0, 0, 0), (12, 16, 19)), ISOTROPIC, 1.0),
    (box((0, 0, 0)), box((11, 15, 19)), SPACING_MM, math.hypot(33, 7.5, 15.2)),  # opposite corners
]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(("prediction", "reference", "spacing_mm", "expected_mm"), BY_HAND)
@pytest.mark.parametrize("variant", ["max", "pooled"])
def test_hausdorff_by_hand(prediction, reference, spacing_mm, expected_mm, variant):
    assert hausdorff_95(prediction, reference, spacing_mm, variant) == pytest.approx(
        expected_mm, abs=1e-12
    )


@pytest.mark.usefixtures("either_way")
def test_percentiles_of_a_row_of_voxels():
    """A row of 21 against its first voxel: distances 0..20 one way, 0 the other."""
    shape = (1, 1, 21)
    row, first = box((0, 0, 0), shape, shape), box((0, 0, 0), shape=shape)
    assert hausdorff_95(row, first, ISOTROPIC) == pytest.approx(19.0)
    assert hausdorff_95(first, row, (1.0, 1.0, 0.5)) == pytest.approx(9.5)
    assert hausdorff_95(row, first, ISOTROPIC, "pooled") == pytest.approx(
        18.95
    )  # rank 0.95 * 21 of 0, 0, 1, ..., 20


def test_the_inside_is_no_surface():
    full = box((1, 1, 1), (9, 9, 9))
    shell = full & ~box((2, 2, 2), (7, 7, 7))
    assert hausdorff_95(shell, full, SPACING_MM) == 0.0


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="hd95: variant must be max or pooled, got 'min'"):
        hausdorff_95(box((0, 0, 0)), box((0, 0, 0)), ISOTROPIC, "min")


def test_areas_of_flat_and_cut_corners():
    areas_mm2 = surface_areas_mm2(SPACING_MM)
    code = {corners: sum(1 << CORNERS.index(corner) for corner in corners) for corners in ALL_SETS}
    lower, left, front = (frozenset(c for c in CORNERS if c[axis] == 0) for axis in range(3))
    assert areas_mm2[code[lower]] == pytest.approx(0.5 * 0.8)  # a whole face
    assert areas_mm2[code[left]] == pytest.approx(3.0 * 0.8)
    assert areas_mm2[code[front]] == pytest.approx(3.0 * 0.5)
    corner = frozenset(
        {(0, 0, 0)}
    )  # the triangle through the middles of three edges: half of |a x b|
    edges = np.diag(SPACING_MM) / 2
    triangle_mm2 = np.linalg.norm(np.cross(edges[1] - edges[0], edges[2] - edges[0])) / 2
    assert areas_mm2[code[corner]] == pytest.approx(triangle_mm2)
    assert areas_mm2[code[frozenset(CORNERS) - corner]] == pytest.approx(triangle_mm2)
    edge = frozenset({(0, 0, 0), (0, 0, 1)})  # a bevel along the last axis
    assert areas_mm2[code[edge]] == pytest.approx(0.8 * math.hypot(1.5, 0.25))
    assert areas_mm2[0] == areas_mm2[255] == 0
    assert (areas_mm2[1:255] > 0).all()


ALL_SETS = [frozenset(c for bit, c in enumerate(CORNERS) if code >> bit & 1) for code in range(256)]


def test_codes_cover_every_side_of_a_mask():
    codes = surface_codes(np.ones((1, 1, 1), dtype=bool))
    assert sorted(codes.ravel()) == [1 << bit for bit in range(8)]  # one voxel: eight cut corners
    assert surface_codes(np.ones((2, 2, 2), dtype=bool))[1, 1, 1] == 255


def cube_area_mm2(size: int) -> float:
    """The marching-cubes surface of a cube of 1 mm voxels: faces, bevelled edges, cut corners."""
    length = size - 1
    return 6 * length**2 + 12 * length * math.sqrt(0.5) + 8 * math.sqrt(3) / 8


@pytest.mark.usefixtures("either_way")
def test_surface_dice_by_hand():
    cube = box((2, 4, 4), (4, 4, 4))
    assert surface_dice(cube, cube, SPACING_MM, 0.0) == 1.0
    assert (
        surface_dice(cube, box((3, 4, 4), (4, 4, 4)), SPACING_MM, 3.0) == 1.0
    )  # one slice off, within the tolerance
    first, second = (
        box((3, 3, 3)),
        box((3, 3, 5)),
    )  # eight cut corners each; four face the other voxel, 1 mm away
    found = [
        surface_dice(first, second, ISOTROPIC, tolerance_mm)
        for tolerance_mm in (0.9, 1.0, 1.9, 2.0)
    ]
    assert found == pytest.approx([0.0, 0.5, 0.5, 1.0])
    far = surface_dice(cube, cube | box((9, 12, 15), (2, 2, 2)), ISOTROPIC, 1.0)
    assert far == pytest.approx(2 * cube_area_mm2(4) / (2 * cube_area_mm2(4) + cube_area_mm2(2)))


@pytest.mark.usefixtures("either_way")
def test_a_tolerance_equal_to_the_shift_counts_whatever_the_rounding():
    for step_mm in (0.1, 0.7, 1 / 3, 2.6, 4.9999):
        spacing_mm = (step_mm, 1.0, 1.0)
        assert (
            surface_dice(
                box((2, 4, 4), (4, 4, 4)), box((5, 4, 4), (4, 4, 4)), spacing_mm, 3 * step_mm
            )
            == 1.0
        )


def test_symmetry_scaling_and_place():
    for prediction, reference in PAIRS[:25]:
        distance_mm = hausdorff_95(prediction, reference, SPACING_MM)
        agreement = surface_dice(prediction, reference, SPACING_MM, 1.2)
        assert 0 <= agreement <= 1
        assert hausdorff_95(reference, prediction, SPACING_MM) == distance_mm
        assert surface_dice(reference, prediction, SPACING_MM, 1.2) == pytest.approx(
            agreement, abs=1e-12
        )
        doubled = tuple(2 * step for step in SPACING_MM)
        assert hausdorff_95(prediction, reference, doubled) == pytest.approx(2 * distance_mm)
        assert surface_dice(prediction, reference, doubled, 2.4) == pytest.approx(agreement)
        flipped = [mask[::-1, :, ::-1] for mask in (prediction, reference)]
        assert hausdorff_95(*flipped, SPACING_MM) == pytest.approx(distance_mm)
        assert surface_dice(*flipped, SPACING_MM, 1.2) == pytest.approx(agreement)
        turned = [mask.transpose(2, 0, 1) for mask in (prediction, reference)]
        turned_mm = (SPACING_MM[2], SPACING_MM[0], SPACING_MM[1])
        assert hausdorff_95(*turned, turned_mm) == pytest.approx(distance_mm)
        assert surface_dice(*turned, turned_mm, 1.2) == pytest.approx(agreement)
        moved = [np.pad(mask, ((5, 1), (0, 3), (2, 2))) for mask in (prediction, reference)]
        assert hausdorff_95(*moved, SPACING_MM) == distance_mm
        assert surface_dice(*moved, SPACING_MM, 1.2) == pytest.approx(agreement, abs=1e-12)
        assert hausdorff_95(prediction, prediction, SPACING_MM) == 0
        assert surface_dice(prediction, prediction, SPACING_MM, 0.0) == 1


def test_a_wider_tolerance_never_lowers_the_surface_dice():
    for prediction, reference in PAIRS[:25]:
        series = [
            surface_dice(prediction, reference, SPACING_MM, tolerance)
            for tolerance in (0.0, 0.5, 1.0, 3.0, 1e3)
        ]
        assert series == sorted(series)
        assert series[-1] == 1.0


def test_both_ways_to_distances_agree(monkeypatch):
    for prediction, reference in PAIRS[:25]:
        found = []
        for setting in (0, math.inf):
            monkeypatch.setattr(surfaces, "VOXELS_PER_SEARCH", setting)
            found.append(
                (
                    hausdorff_95(prediction, reference, SPACING_MM),
                    surface_dice(prediction, reference, SPACING_MM, 1.2),
                )
            )
        assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_bounding_box():
    assert bounding_box(box((2, 3, 4), (5, 6, 7))) == (slice(2, 7), slice(3, 9), slice(4, 11))
    assert bounding_box(box((0, 0, 0), SHAPE)) == tuple(slice(0, length) for length in SHAPE)
    assert box((0, 0, 0))[bounding_box(np.zeros(SHAPE, dtype=bool))].size == 0


@pytest.mark.filterwarnings(
    "ignore:.*always_return_as_numpy:FutureWarning"
)  # MONAI warns of its own call
def test_agreement_with_monai():
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    rng = np.random.default_rng(0)
    partial = 0
    for prediction, reference in PAIRS:
        spacing_mm = tuple(rng.uniform(0.4, 5.0, size=3))
        tolerance_mm = rng.uniform(0.4, 5.0)
        first, second = (
            torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)
        )
        expected_mm = compute_hausdorff_distance(
            first, second, include_background=True, percentile=95, spacing=list(spacing_mm)
        ).item()
        assert hausdorff_95(prediction, reference, spacing_mm) == pytest.approx(
            expected_mm, abs=1e-4
        )
        expected = compute_surface_dice(
            first,
            second,
            [tolerance_mm],
            include_background=True,
            spacing=list(spacing_mm),
            use_subvoxels=True,
        ).item()
        partial += 0 < expected < 1
        assert surface_dice(prediction, reference, spacing_mm, tolerance_mm) == pytest.approx(
            expected, abs=1e-4
        )
    assert partial > 150  # most pairs are neither all within the tolerance nor all outside


def test_pooled_is_the_percentile_of_both_directions_by_distance_transforms():
    """As medpy defines it, written anew."""
    differing = 0
    for prediction, reference in PAIRS[:50]:
        edges = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference)]
        maps = [ndimage.distance_transform_edt(~edge, sampling=SPACING_MM) for edge in edges]
        expected_mm = np.percentile(np.hstack((maps[1][edges[0]], maps[0][edges[1]])), 95)
        assert hausdorff_95(prediction, reference, SPACING_MM, "pooled") == pytest.approx(
            expected_mm, rel=1e-12
        )
        differing += expected_mm != pytest.approx(hausdorff_95(prediction, reference, SPACING_MM))
    assert differing > 25
