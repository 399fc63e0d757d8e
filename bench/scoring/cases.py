"""From a trained model and whole volumes to scores: sliding windows, then one number per case x region."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.scoring.metrics import Scoring, dice, region_mask, score_case
from datasets.base import DatasetInfo
from datasets.prepared.case import PreparedCase
from reports.records.run import CaseScore

Predict = Callable[[np.ndarray], np.ndarray]


def score_cases(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    on_case: Callable[[int, np.ndarray], None] = lambda done, prediction: None,
) -> list[CaseScore]:
    """Score every case on the grid of its file.

    ``on_case`` hears how many are done, and gets the newest class map (D, H, W) of the prepared
    shape.
    """
    scores: list[CaseScore] = []
    for number, case in enumerate(cases, start=1):
        prediction = predict(case.image())
        spacing_mm = case.spacing_mm if case.spacing_known else None
        restored = case.restore(prediction)
        scores += score_case(case.id, restored, np.asarray(case.reference()), spacing_mm, scoring)
        on_case(number, prediction)
    return scores


def score_overlaps(
    predict: Predict, cases: Sequence[PreparedCase], scoring: Scoring
) -> list[CaseScore]:
    """Score every case without the slower distances, which are nan."""
    pairs = (
        (case, case.restore(predict(case.image())), np.asarray(case.reference())) for case in cases
    )
    return [
        row
        for case, predicted, reference in pairs
        for row in score_case(case.id, predicted, reference, None, scoring)
    ]


def mean_dices(
    predict: Predict, cases: Sequence[PreparedCase], info: DatasetInfo
) -> tuple[float, ...]:
    """Return each case's Dice averaged over the regions, without the slower surface distances.

    This is for selection, on the prepared grid. It needs a number for every case: masks that are
    both empty agree (1), whatever the policy of the scores.
    """
    means = []
    for case in cases:
        predicted, reference = predict(case.image()), np.asarray(case.label())
        dices = [
            dice(region_mask(predicted, region), region_mask(reference, region))
            for region in info.regions
        ]
        means.append(float(np.mean(dices)))
    return tuple(means)
