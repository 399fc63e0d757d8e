"""From a trained model and whole volumes to scores, one for each case and region."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.scoring.metrics import Scoring, dice, region_mask, score_case
from datasets.base import DatasetInfo
from datasets.prepared.case import PreparedCase
from reports.records.run import CaseScore

Predict = Callable[[np.ndarray], np.ndarray]  # from an image (C, D, H, W) to its class map


def score_cases(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    on_case: Callable[[int, np.ndarray], None] = lambda done, prediction: None,
) -> list[CaseScore]:
    """Score every case on the grid of its file.

    Args:
        predict: returns a class map (D, H, W) of the prepared shape.
        cases: the cases, in the order of the scores.
        scoring: the rules.
        on_case: called as ``on_case(n_done, class_map)`` after each case.
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
    scores: list[CaseScore] = []
    for case in cases:
        prediction, reference = case.restore(predict(case.image())), np.asarray(case.reference())
        scores += score_case(case.id, prediction, reference, None, scoring)
    return scores


def mean_dices(
    predict: Predict, cases: Sequence[PreparedCase], info: DatasetInfo
) -> tuple[float, ...]:
    """Return each case's Dice on the prepared grid, averaged over the regions.

    This is for selection, which needs a number for every case: two empty masks agree (1) under
    every policy of the scores.
    """
    means = []
    for case in cases:
        prediction, reference = predict(case.image()), np.asarray(case.label())
        dices = [
            dice(region_mask(prediction, region), region_mask(reference, region))
            for region in info.regions
        ]
        means.append(float(np.mean(dices)))
    return tuple(means)
