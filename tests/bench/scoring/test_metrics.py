"""Scores of a case: overlap by hand and by a library, volumes, empty masks, unknown spacing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bench.scoring.metrics import MEASURES, Scoring, dice, region_mask, score_case
from bench.scoring.policies import LEAST_TOLERANCE_MM, choose_policy, choose_tolerance_mm
from bench.specs.protocol import EMPTY_POLICIES, EvalSpec, Protocol, SpecError
from datasets import DATASETS, get
from datasets.brats import Brats
from datasets.kits import Kits
from reports.records.metrics import METRICS

SHAPE = (12, 16, 20)
ISOTROPIC = (1.0, 1.0, 1.0)
INFO = Brats.describe("brats2020")
SCORING = Scoring(INFO, EvalSpec())
NOTHING = np.zeros(SHAPE, dtype=np.uint8)


def box(corner, size=(1, 1, 1), shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[
        tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
    ] = True
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
def test_dice_by_hand(prediction, reference, expected):
    assert dice(prediction, reference) == expected


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_dice_agrees_with_monai():
    import torch
    from monai.metrics import compute_dice

    for seed in range(200):
        rng = np.random.default_rng(seed)
        fields = [ndimage.gaussian_filter(rng.normal(size=SHAPE), sigma=1.5) for _ in range(2)]
        masks = [field > np.quantile(field, rng.uniform(0.5, 0.99)) for field in fields]
        first, second = (torch.from_numpy(mask)[None, None].float() for mask in masks)
        expected = compute_dice(first, second, include_background=True, ignore_empty=False).item()
        assert dice(*masks) == dice(*masks[::-1]) == pytest.approx(expected, abs=1e-6)
        assert 0 <= dice(*masks) <= 1
        assert dice(masks[0], masks[0]) == 1


def test_region_mask_joins_classes():
    class_map = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
    assert region_mask(class_map, INFO.regions[0]).tolist() == [[[False, True, True, True]]]
    assert region_mask(class_map, INFO.regions[1]).tolist() == [[[False, True, False, True]]]


def test_scores_of_a_case():
    reference = NOTHING.copy()
    reference[2:6, 2:6, 2:6] = 2
    prediction = reference.copy()
    prediction[4, 4, 4] = 3  # an enhancing rim that is not there
    whole, core, rim = score_case("p1", prediction, reference, (2.0, 0.5, 0.5), SCORING)
    assert [score.region for score in (whole, core, rim)] == ["WT", "TC", "ET"]
    assert (whole.case, whole.dice, whole.hd95_mm, whole.nsd, whole.nsd_tolerance_mm) == (
        "p1",
        1.0,
        0.0,
        1.0,
        2.0,
    )
    assert (whole.n_reference_vox, whole.n_predicted_vox, whole.n_common_vox) == (64, 64, 64)
    assert (whole.reference_ml, whole.predicted_ml) == (0.032, 0.032)  # 64 voxels of 0.5 mm3
    assert (rim.dice, rim.hd95_mm, rim.nsd) == (0.0, 373.12866, 0.0)
    assert (rim.n_reference_vox, rim.n_predicted_vox, rim.n_common_vox) == (0, 1, 0)
    assert (rim.reference_ml, rim.predicted_ml) == (0.0, 0.0005)


def test_scores_do_not_depend_on_where_in_the_volume_the_object_is():
    rng = np.random.default_rng(0)
    reference, prediction = (rng.integers(0, 4, (5, 6, 7)).astype(np.uint8) for _ in range(2))
    small = score_case("a", prediction, reference, (1.0, 2.0, 3.0), SCORING)
    padded = [np.pad(each, ((3, 9), (0, 4), (7, 1))) for each in (prediction, reference)]
    large = score_case("a", *padded, (1.0, 2.0, 3.0), SCORING)
    assert [replace(row, nsd=0.0) for row in small] == [replace(row, nsd=0.0) for row in large]
    assert [row.nsd for row in small] == pytest.approx([row.nsd for row in large], abs=1e-12)


def test_the_protocol_chooses_variant_and_tolerance():
    reference, prediction = NOTHING.copy(), NOTHING.copy()
    reference[3, 3, 0:20], prediction[3, 3, 0] = 3, 3  # distances 0..19 one way, 0 the other
    whole = score_case("a", prediction, reference, ISOTROPIC, SCORING)[0]
    assert whole.hd95_mm == pytest.approx(0.95 * 19)
    pooled = score_case(
        "a", prediction, reference, ISOTROPIC, Scoring(INFO, EvalSpec(hd95="pooled"))
    )[0]
    assert pooled.hd95_mm == pytest.approx(0.95 * 20 - 1)  # one more 0 among them
    wide = score_case(
        "a", prediction, reference, ISOTROPIC, Scoring(INFO, EvalSpec(nsd_tolerance_mm=19.0))
    )[0]
    assert (wide.nsd, wide.nsd_tolerance_mm) == (1.0, 19.0)
    assert whole.nsd < 0.5
    assert whole.nsd_tolerance_mm == 1.0


@pytest.mark.parametrize("asked", ["dataset", "nnunet"])
def test_unknown_spacing_leaves_all_millimetres_undefined(asked):
    reference = NOTHING.copy()
    reference[2:6, 2:6, 2:6] = 2
    rows = score_case("a", reference, reference, None, Scoring(INFO, EvalSpec(empty_policy=asked)))
    assert rows[0].dice == 1
    assert rows[0].n_common_vox == 64
    for row in rows:  # also where a policy has a distance for empty masks
        lengths = (row.hd95_mm, row.nsd, row.nsd_tolerance_mm, row.reference_ml, row.predicted_ml)
        assert all(math.isnan(value) for value in lengths)


def full_and_empty(policy: str) -> dict[str, tuple[float, float, float]]:
    """Score the three ways of being empty under a policy, as ET of BraTS."""
    full = NOTHING.copy()
    full[1, 1, 1] = 3
    scoring = Scoring(INFO, EvalSpec(empty_policy=policy))
    pairs = {"both": (NOTHING, NOTHING), "miss": (NOTHING, full), "alarm": (full, NOTHING)}
    rows = {name: score_case("a", *pair, ISOTROPIC, scoring)[2] for name, pair in pairs.items()}
    return {name: (row.dice, row.hd95_mm, row.nsd) for name, row in rows.items()}


NAN = math.nan


@pytest.mark.parametrize(
    ("policy", "both", "miss", "alarm"),
    [
        ("dataset", (1, 0, 1), (0, 373.12866, 0), (0, 373.12866, 0)),
        ("brats", (1, 0, 1), (0, 373.12866, 0), (0, 373.12866, 0)),
        ("brats2023", (1, 0, 1), (0, 374, 0), (0, 374, 0)),
        ("kits", (1, NAN, 1), (0, NAN, 0), (0, NAN, 0)),
        ("lits", (1, NAN, 1), (0, NAN, 0), (0, NAN, 0)),
        ("nnunet", (NAN, NAN, NAN), (0, NAN, 0), (0, NAN, 0)),
        ("monai", (NAN, NAN, NAN), (0, NAN, 0), (NAN, NAN, NAN)),
        ("medtuning", (1, NAN, NAN), (0, NAN, NAN), (0, NAN, NAN)),
    ],
)
def test_empty_masks_follow_the_policy(policy, both, miss, alarm):
    np.testing.assert_equal(full_and_empty(policy), {"both": both, "miss": miss, "alarm": alarm})


@pytest.mark.filterwarnings("ignore::UserWarning")  # MONAI warns of empty masks
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_the_monai_policy_is_what_monai_does():
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    full = torch.zeros(1, 1, *SHAPE)
    full[0, 0, 1, 1, 1] = 1
    pairs = {"both": (full * 0, full * 0), "miss": (full * 0, full), "alarm": (full, full * 0)}
    ours = full_and_empty("monai")
    for name, (first, second) in pairs.items():
        theirs = (
            compute_dice(first, second, include_background=True).item(),
            compute_hausdorff_distance(
                first, second, include_background=True, percentile=95
            ).item(),
            compute_surface_dice(
                first, second, [1.0], include_background=True, use_subvoxels=True
            ).item(),
        )
        if name == "alarm":
            assert (
                theirs[2] == 0.0
            )  # their surface Dice counts what is predicted where nothing is; their Dice does not
            theirs = (*theirs[:2], math.nan)
        np.testing.assert_equal(ours[name], theirs)


def test_the_names_of_the_protocol_are_those_of_the_table():
    named = {policy for metric in METRICS.values() for policy in metric.empty}
    assert set(EMPTY_POLICIES) == {"dataset", *named}
    assert METRICS["hd95_mm"].empty["brats"].miss == pytest.approx(
        math.hypot(240, 240, 155), abs=1e-5
    )


def test_every_registered_metric_is_computed_and_no_other():
    assert MEASURES.keys() == METRICS.keys()
    assert all(metric.name == name for name, metric in METRICS.items())


def test_every_release_has_a_policy_of_its_own_kind():
    infos = [
        get(name).describe(release.name) for name in DATASETS for release in get(name).releases
    ]
    found = {info.release: choose_policy(info) for info in infos}
    assert len(found) >= 14
    assert {name for name, policy in found.items() if policy == "brats2023"} == {
        *("brats2023", "brats2024", "brats2025", "ssa2023", "men2023"),
        *("met2023", "met2025", "ped2023", "ped2024", "goat2024"),
    }
    assert {name for name, policy in found.items() if policy == "kits"} == {
        "kits19",
        "kits21",
        "kits23",
    }
    assert {name for name, policy in found.items() if policy == "lits"} == {
        "lits17",
        "lits-kaggle",
        "msd03",
    }
    assert found["brats2020"] == found["msd01"] == "brats"
    assert choose_policy(replace(INFO, name="mine", release="")) == "kits"
    assert choose_policy(INFO, "nnunet") == "nnunet"


def test_tolerances():
    coarse = (5.0, 0.7, 0.7)
    for release in ("kits19", "kits21", "kits23"):
        info = Kits.describe(release)
        tolerances = {
            region.name: choose_tolerance_mm(info, region.name, coarse) for region in info.regions
        }
        assert tolerances["tumour"] == pytest.approx(1.1498, abs=1e-4)
        assert next(iter(tolerances.values())) == pytest.approx(1.0331, abs=1e-4)
        assert tolerances.get("masses", 1.1329) == pytest.approx(1.1329, abs=1e-4)
    assert choose_tolerance_mm(INFO, "ET", ISOTROPIC) == LEAST_TOLERANCE_MM
    assert choose_tolerance_mm(INFO, "ET", coarse) == 5.0


@pytest.mark.parametrize(
    "spacing_mm", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (math.nan, 1.0, 1.0)]
)
def test_bad_spacing_is_refused(spacing_mm):
    with pytest.raises(
        ValueError, match="metrics: spacing must be three positive lengths in mm, got"
    ):
        score_case("a", NOTHING, NOTHING, spacing_mm, SCORING)


def test_different_shapes_are_refused():
    for score in (dice, lambda first, second: score_case("a", first, second, ISOTROPIC, SCORING)):
        with pytest.raises(ValueError, match="equal shape, got"):
            score(EMPTY, EMPTY[1:])
        with pytest.raises(ValueError, match="equal shape, got"):
            score(EMPTY[0], EMPTY[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hd95", "min"),
        ("empty_policy", "bratz"),
        ("et_min_vox", "-1"),
        ("et_min_vox", "some"),
        ("nsd_tolerance_mm", -1.0),
    ],
)
def test_the_protocol_names_a_bad_setting(field, value):
    with pytest.raises(SpecError, match=rf"eval\.{field}: must be .*, got {value}"):
        Protocol(eval=EvalSpec(**{field: value}))
