"""Scores: cases that can be computed by hand first, then an independent library."""

import math

import numpy as np
import pytest
from scipy import ndimage

from bench.metrics import EMPTY_POLICIES, UNDEFINED, EmptyPolicy, dice, hausdorff_95, region_mask, score_case
from datasets.base import DatasetInfo, Region

SHAPE = (12, 16, 20)
ISOTROPIC = (1.0, 1.0, 1.0)
SPACING_MM = (3.0, 0.5, 0.8)
INFO = DatasetInfo(
    name="brats",
    title="",
    reference="",
    modality="",
    channels=("t1",),
    classes=("background", "core", "oedema", "rim"),
    label_values=(0, 1, 2, 4),
    regions=(Region("WT", (1, 2, 3)), Region("TC", (1, 3)), Region("ET", (3,))),
    layout="",
)


def box(
    start: tuple[int, int, int], size: tuple[int, int, int] = (1, 1, 1), shape: tuple[int, ...] = SHAPE
) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(low, low + length) for low, length in zip(start, size, strict=True))] = True
    return mask


EMPTY = np.zeros(SHAPE, dtype=bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        (box((0, 0, 0), (2, 2, 2)), box((0, 0, 0), (2, 2, 2)), 1.0),
        (box((0, 0, 0), (2, 2, 2)), box((0, 0, 1), (2, 2, 2)), 0.5),  # 2 * 4 / (8 + 8)
        (box((0, 0, 0), (1, 1, 1)), box((0, 0, 0), (1, 1, 3)), 0.5),  # 2 * 1 / (1 + 3)
        (box((0, 0, 0)), box((5, 5, 5)), 0.0),
        (EMPTY, EMPTY, 1.0),
        (EMPTY, box((0, 0, 0)), 0.0),
        (box((0, 0, 0)), EMPTY, 0.0),
    ],
)
def test_dice_by_hand(prediction: np.ndarray, reference: np.ndarray, expected: float) -> None:
    assert dice(prediction, reference) == expected


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing_mm", "expected_mm"),
    [
        (box((3, 3, 3)), box((3, 3, 3)), ISOTROPIC, 0.0),
        (box((3, 3, 3)), box((3, 3, 5)), ISOTROPIC, 2.0),  # two voxels apart
        (box((3, 3, 3)), box((4, 3, 3)), SPACING_MM, 3.0),  # one slice apart
        (box((3, 3, 3)), box((3, 5, 3)), SPACING_MM, 1.0),
        (box((3, 3, 3)), box((3, 3, 5)), SPACING_MM, 1.6),
        (box((2, 4, 4), (4, 4, 4)), box((3, 4, 4), (4, 4, 4)), SPACING_MM, 3.0),  # shifted cubes
        (box((0, 0, 0)), box((0, 0, 2)), ISOTROPIC, 2.0),  # at the edge of the volume
        (box((0, 0, 0), SHAPE), box((0, 0, 0), SHAPE), ISOTROPIC, 0.0),  # the whole volume: its faces are surface
        (box((0, 0, 0), (12, 16, 20)), box((0, 0, 0), (12, 16, 19)), ISOTROPIC, 1.0),
    ],
)
def test_hausdorff_by_hand(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, float, float], expected_mm: float
) -> None:
    assert hausdorff_95(prediction, reference, spacing_mm) == pytest.approx(expected_mm, abs=1e-12)


def test_opposite_corner_voxels() -> None:
    shape = (8, 8, 8)
    distance_mm = hausdorff_95(box((0, 0, 0), shape=shape), box((7, 7, 7), shape=shape), ISOTROPIC)
    assert distance_mm == pytest.approx(7 * math.sqrt(3))


def test_percentile_of_a_row_of_voxels() -> None:
    """A row of 21 against its first voxel: distances 0..20 one way, 0 the other; the 95th percentile of 0..20 is 19."""
    shape = (1, 1, 21)
    row, first = box((0, 0, 0), shape, shape), box((0, 0, 0), shape=shape)
    assert hausdorff_95(row, first, ISOTROPIC) == pytest.approx(19.0)
    assert hausdorff_95(row, first, (1.0, 1.0, 0.5)) == pytest.approx(9.5)


def test_the_inside_is_no_surface() -> None:
    full = box((1, 1, 1), (9, 9, 9))
    shell = full & ~box((2, 2, 2), (7, 7, 7))
    assert dice(shell, full) < 0.7
    assert hausdorff_95(shell, full, SPACING_MM) == 0.0


@pytest.mark.parametrize("policy", [EMPTY_POLICIES["brats"], UNDEFINED, EmptyPolicy(1.0, 2.0)])
def test_empty_masks_follow_the_policy(policy: EmptyPolicy) -> None:
    full = box((1, 1, 1))
    for prediction, reference in ((EMPTY, full), (full, EMPTY)):
        np.testing.assert_equal(hausdorff_95(prediction, reference, ISOTROPIC, policy), policy.hd95_one_empty_mm)
    np.testing.assert_equal(hausdorff_95(EMPTY, EMPTY, ISOTROPIC, policy), policy.hd95_both_empty_mm)


def test_policies_of_the_data_sets() -> None:
    assert EMPTY_POLICIES["brats"].hd95_both_empty_mm == 0.0
    assert EMPTY_POLICIES["brats"].hd95_one_empty_mm == pytest.approx(math.hypot(240, 240, 155), abs=1e-5)
    for name in ("kits", "lits"):
        assert math.isnan(EMPTY_POLICIES[name].hd95_both_empty_mm)
        assert math.isnan(EMPTY_POLICIES[name].hd95_one_empty_mm)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (math.nan, 1.0, 1.0)])
def test_bad_spacing_is_refused(spacing_mm: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="hd95: spacing must be three positive lengths in mm, got"):
        hausdorff_95(EMPTY, EMPTY, spacing_mm)


def test_different_shapes_are_refused() -> None:
    for score in (dice, lambda one, two: hausdorff_95(one, two, ISOTROPIC)):
        with pytest.raises(ValueError, match="equal shape, got"):
            score(EMPTY, EMPTY[1:])
        with pytest.raises(ValueError, match="equal shape, got"):
            score(EMPTY[0], EMPTY[0])


def blobs(seed: int) -> np.ndarray:
    """A few smooth blobs, some of which touch the edge of the volume."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma=rng.uniform(0.8, 2.0))
    mask: np.ndarray = field > np.quantile(field, rng.uniform(0.7, 0.99))
    return mask


PAIRS = [(blobs(2 * seed), blobs(2 * seed + 1)) for seed in range(50)]


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of its own call
def test_agreement_with_monai() -> None:
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    rng = np.random.default_rng(0)
    for prediction, reference in PAIRS:
        spacing_mm = tuple(rng.uniform(0.4, 5.0, size=3))
        one, two = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
        expected_mm = compute_hausdorff_distance(
            one, two, include_background=True, percentile=95, spacing=list(spacing_mm)
        ).item()
        assert expected_mm > 0
        assert hausdorff_95(prediction, reference, spacing_mm) == pytest.approx(expected_mm, rel=1e-4)
        expected = compute_dice(one, two, include_background=True, ignore_empty=False).item()
        assert dice(prediction, reference) == pytest.approx(expected, abs=1e-6)


def test_symmetry_and_scaling() -> None:
    for prediction, reference in PAIRS[:10]:
        distance_mm = hausdorff_95(prediction, reference, SPACING_MM)
        assert hausdorff_95(reference, prediction, SPACING_MM) == distance_mm
        doubled = tuple(2 * step for step in SPACING_MM)
        assert hausdorff_95(prediction, reference, doubled) == pytest.approx(2 * distance_mm)
        flipped = hausdorff_95(prediction[::-1, :, ::-1], reference[::-1, :, ::-1], SPACING_MM)
        assert flipped == pytest.approx(distance_mm)
        moved = [np.pad(mask, ((5, 1), (0, 3), (2, 2))) for mask in (prediction, reference)]
        assert hausdorff_95(*moved, SPACING_MM) == distance_mm


def test_region_mask_joins_classes() -> None:
    class_map = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
    assert region_mask(class_map, INFO.regions[0]).tolist() == [[[False, True, True, True]]]
    assert region_mask(class_map, INFO.regions[1]).tolist() == [[[False, True, False, True]]]


def test_scores_of_a_case() -> None:
    reference = np.zeros(SHAPE, dtype=np.uint8)
    reference[2:6, 2:6, 2:6] = 2
    prediction = reference.copy()
    prediction[4, 4, 4] = 3  # an enhancing rim that is not there
    whole, core, rim = score_case("p1", prediction, reference, INFO, ISOTROPIC)
    assert [score.region for score in (whole, core, rim)] == ["WT", "TC", "ET"]
    assert (whole.case, whole.dice, whole.hd95_mm) == ("p1", 1.0, 0.0)
    assert (whole.n_reference_vox, whole.n_predicted_vox) == (64, 64)
    assert (rim.dice, rim.hd95_mm, rim.n_reference_vox, rim.n_predicted_vox) == (0.0, 373.12866, 0, 1)


def test_a_data_set_without_a_policy_leaves_the_distance_undefined() -> None:
    info = DatasetInfo(**{**vars(INFO), "name": "mine"})
    empty = np.zeros(SHAPE, dtype=np.uint8)
    scores = score_case("p1", empty, empty, info, ISOTROPIC)
    assert len(scores) == 3
    assert all(score.dice == 1.0 and math.isnan(score.hd95_mm) for score in scores)
