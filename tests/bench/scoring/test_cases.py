from dataclasses import dataclass

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from bench.run.inference.predictor import Predictor
from bench.run.inference.windows import MIRRORS
from bench.scoring.cases import mean_dices, score_cases
from bench.scoring.metrics import Scoring
from bench.specs.protocol import EvalSpec
from datasets.brats import Brats

PATCH = (4, 8, 8)
SCORING = Scoring(Brats.describe("brats2020"), EvalSpec())


class Threshold(nn.Module):
    """Class k where channel 0 is above k - 0.5, voxel by voxel, so that windows do not matter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[2:] == PATCH
        return torch.stack([-((x[:, 0] - k) ** 2) for k in range(4)], dim=1)


class FirstInRow(nn.Module):
    """Votes for class 1 in the last column of every window: not symmetric."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(x.shape[0], 2, *x.shape[2:])
        logits[..., 0] = 0.1
        logits[:, 1, ..., -1] = 1
        return logits


@dataclass
class FakeCase:
    id: str
    classes: np.ndarray
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spacing_known: bool = True

    def image(self) -> np.ndarray:
        return np.stack([self.classes.astype(np.float16)] * 4)

    def label(self) -> np.ndarray:
        return self.classes

    def reference(self) -> np.ndarray:
        return np.pad(self.classes, 1)  # the file's grid has a margin that was cut away

    def restore(self, classes: np.ndarray) -> np.ndarray:
        return np.pad(classes, 1)


def make_case(name: str, shape: tuple[int, int, int], seed: int = 0) -> FakeCase:
    return FakeCase(name, np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8))


def predictor(model: nn.Module, **options):
    return Predictor(model, PATCH, EvalSpec(**options), Fabric(accelerator="cpu", devices=1))


@pytest.mark.parametrize(
    "shape", [(4, 8, 8), (9, 20, 17), (2, 5, 8)], ids=["equal", "larger", "smaller"]
)
@pytest.mark.parametrize("flips", [False, True])
def test_windows_and_mirrors_do_not_change_a_voxelwise_model(shape, flips):
    case = make_case("a", shape)
    predicted = predictor(Threshold(), overlap=0.5, flips=flips)(case.image())
    assert predicted.dtype == np.uint8
    np.testing.assert_array_equal(predicted, case.classes)


def test_mirrors_are_averaged_and_turned_back():
    image = np.zeros((1, *PATCH), dtype=np.float32)
    plain = predictor(FirstInRow(), flips=False)(image)
    mirrored = predictor(FirstInRow(), flips=True)(image)
    assert (plain[..., -1] == 1).all()
    assert not plain[..., 0].any()
    assert (mirrored[..., 0] == 1).all()
    assert (mirrored[..., -1] == 1).all()


def test_there_are_eight_different_mirrors():
    assert len({tuple(axes) for axes in MIRRORS}) == 8
    assert MIRRORS[0] == []


def test_a_perfect_prediction_scores_one_for_every_case_and_region():
    cases = [make_case("a", (6, 10, 9)), make_case("b", (4, 8, 8), seed=1)]
    heard = []
    scores = score_cases(
        predictor(Threshold()), cases, SCORING, lambda done, found: heard.append((done, found))
    )
    assert [(score.case, score.region) for score in scores] == [
        (c, r) for c in "ab" for r in ("WT", "TC", "ET")
    ]
    assert all(score.dice == 1 and score.hd95_mm == 0 for score in scores)
    assert [done for done, _ in heard] == [1, 2]
    assert all((found == case.classes).all() for (_, found), case in zip(heard, cases, strict=True))
    assert mean_dices(predictor(Threshold()), cases, SCORING.info) == (1, 1)


def test_a_case_of_unknown_spacing_has_no_millimetres():
    case = make_case("a", (6, 10, 9))
    case.spacing_known = False
    for row in score_cases(predictor(Threshold()), [case], SCORING):
        assert row.dice == 1
        assert np.isnan([row.hd95_mm, row.nsd, row.reference_ml]).all()


def test_overlaps_are_those_of_the_full_scores():
    case = make_case("a", (6, 10, 9))
    quick = score_cases(predictor(Threshold()), [case], SCORING, in_mm=False)
    full = score_cases(predictor(Threshold()), [case], SCORING)
    assert [(row.dice, row.n_common_vox) for row in quick] == [
        (row.dice, row.n_common_vox) for row in full
    ]
    assert np.isnan([row.hd95_mm for row in quick]).all()


def test_mean_dice_is_the_mean_of_what_scoring_reports():
    case = make_case("a", (6, 10, 9))
    wrong = FakeCase("b", np.where(case.classes == 3, 2, case.classes).astype(np.uint8))
    wrong.image = case.image  # the model sees one thing, the reference says another
    scores = score_cases(predictor(Threshold()), [wrong], SCORING)
    assert 0 < np.mean([score.dice for score in scores]) < 1
    expected = np.mean([score.dice for score in scores])
    assert mean_dices(predictor(Threshold()), [wrong], SCORING.info) == pytest.approx((expected,))
