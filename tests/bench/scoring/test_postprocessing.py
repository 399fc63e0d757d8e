import math
from dataclasses import asdict

import numpy as np
import pytest

from bench.scoring.metrics import Scoring, score_case
from bench.scoring.postprocessing import CANDIDATES_VOX, choose_cutoff, drop_small, relabel_small
from bench.specs.protocol import EMPTY_POLICIES, EvalSpec
from datasets.brats import Brats
from datasets.kits import Kits
from reports.records.run import CaseScore, RunResult, Status

INFO = Brats.describe("brats2020")
NECROSIS, ENHANCING = 1, 3
SHAPE = (8, 16, 16)


def scoring(et_min_vox: str = "auto", policy: str = "dataset", info=INFO) -> Scoring:
    return Scoring(info, EvalSpec(et_min_vox=et_min_vox, empty_policy=policy))


def maps(n_reference: int, n_predicted: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference with so much enhancing tumour in a core of necrosis and oedema."""
    rng = np.random.default_rng(seed)
    made = []
    for count in (n_predicted, n_reference):
        class_map = rng.integers(0, 3, SHAPE).astype(np.uint8)
        class_map.ravel()[:count] = ENHANCING
        made.append(class_map)
    return made[0], made[1]


@pytest.mark.parametrize("n_reference", [0, 7, 400])
@pytest.mark.parametrize("n_predicted", [0, 9, 10, 300])
@pytest.mark.parametrize("policy", sorted(set(EMPTY_POLICIES) - {"dataset"}))
@pytest.mark.parametrize("spacing_mm", [(2.0, 1.0, 1.0), None])
def test_it_equals_relabelling_the_prediction(n_reference, n_predicted, policy, spacing_mm):
    prediction, reference = maps(n_reference, n_predicted)
    rules = scoring(policy=policy)
    plain = score_case("a", prediction, reference, spacing_mm, rules)
    written = relabel_small(prediction, INFO, 10)
    if n_predicted < 10:
        prediction = np.where(prediction == ENHANCING, NECROSIS, prediction)
    np.testing.assert_array_equal(written, prediction, strict=True)
    relabelled = score_case("a", prediction, reference, spacing_mm, rules)
    np.testing.assert_equal(vars(drop_small(plain, 10, rules.policy_name)[0]), vars(relabelled[2]))
    for before, after in zip(plain[:2], relabelled[:2], strict=True):  # WT and TC hold both classes
        np.testing.assert_equal(vars(before), vars(after))


def et(n_reference: int, n_predicted: int, dice: float) -> CaseScore:
    return CaseScore("a", "ET", dice, 1.0, n_reference, n_predicted, nsd_tolerance_mm=1.0)


def test_the_best_candidate_is_chosen_and_the_smallest_of_equals():
    rows = [et(0, 40, 0.0), et(500, 450, 0.9), et(30, 20, 0.6)]
    cutoff = choose_cutoff(scoring(), lambda: rows)
    tried = dict(cutoff.tried)
    assert list(tried) == list(CANDIDATES_VOX)
    assert tried[0] == tried[10] == pytest.approx((0 + 0.9 + 0.6) / 3)
    assert tried[25] == pytest.approx((0 + 0.9 + 0) / 3)  # a small tumour that was found is lost
    assert tried[50] == tried[300] == pytest.approx((1 + 0.9 + 0) / 3)  # a false alarm is gone
    assert tried[500] == pytest.approx(1 / 3)
    assert cutoff.min_vox == 50
    applied = cutoff.apply([et(0, 49, 0.0), et(0, 50, 0.0), CaseScore("a", "WT", 0.5, 1.0, 9, 9)])
    assert [row.dice for row in applied.cases] == [1.0, 0.0]
    assert (applied.region, applied.min_vox, applied.tried) == ("ET", 50, cutoff.tried)


def test_nothing_is_relabelled_without_a_gain():
    assert choose_cutoff(scoring(), lambda: [et(5, 5, 1.0)]).min_vox == 0
    undefined = choose_cutoff(scoring(policy="monai"), lambda: [et(0, 5, math.nan)])
    assert undefined.min_vox == 0


def test_a_number_is_taken_as_it_is_and_validation_is_left_alone():
    def fail():
        raise AssertionError("validation cases must not be scored")

    cutoff = choose_cutoff(scoring("200"), fail)
    assert (cutoff.min_vox, cutoff.tried) == (200, ())
    assert choose_cutoff(scoring("0"), fail) is None
    assert choose_cutoff(scoring(info=Kits.describe("kits19")), fail) is None  # no ET there


def test_the_record_keeps_scores_with_and_without(tmp_path):
    plain = [et(0, 40, 0.0)]
    kept = choose_cutoff(scoring(), lambda: plain).apply(plain)
    facts = dict.fromkeys(
        ("run_id", "reason", "method", "label", "dataset", "backbone", "weights", "protocol_id"),
        "x",
    )
    result = RunResult(
        status=Status.DONE,
        settings={},
        fold=0,
        seed=0,
        protocol={},
        synthetic=True,
        cases=tuple(plain),
        postprocessing=kept,
        **facts,
    )
    read = RunResult.from_json(result.write(tmp_path).read_text())
    np.testing.assert_equal(asdict(read), asdict(result))
    assert read.postprocessing.cases[0].dice == 1.0
    assert read.cases[0].dice == 0.0
    assert read.postprocessing.tried[0] == (0, 0.0)
