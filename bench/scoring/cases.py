"""From a trained model and whole volumes to scores, one for each case and region."""

from collections.abc import Callable, Sequence

import numpy as np

from bench.scoring.metrics import Scoring, dice, leave_out_ignored, region_mask, score_case
from datasets.base import DatasetInfo
from datasets.prepared.case import PreparedCase
from reports.records.run import CaseScore

# From an image (C, D, H, W) to classes (D, H, W). Raises: NotFiniteError.
Predict = Callable[[np.ndarray], np.ndarray]


class NotFiniteError(ValueError):
    """The logits of a network are not finite, so that they give no classes."""


def segment(predict: Predict, case: PreparedCase) -> np.ndarray:
    """Return the class map of a case on the prepared grid. Raises: NotFiniteError with its name."""
    try:
        return predict(case.image())
    except NotFiniteError as error:
        raise NotFiniteError(f"{error} for case {case.id}") from None


def score_cases(
    predict: Predict,
    cases: Sequence[PreparedCase],
    scoring: Scoring,
    on_case: Callable[[int, np.ndarray], None] = lambda done, prediction: None,
    *,
    in_mm: bool = True,
) -> list[CaseScore]:
    """Score every case on the grid of its file; all that is measured in mm only if ``in_mm``.

    ``on_case`` is called as ``on_case(n_done, class_map)``; the map has the prepared shape.
    Raises: NotFiniteError if the logits of a case are not finite.
    """
    scores: list[CaseScore] = []
    for number, case in enumerate(cases, start=1):
        prediction = segment(predict, case)
        spacing_mm = case.spacing_mm if in_mm and case.spacing_known else None
        restored = case.restore(prediction)
        scores += score_case(case.id, restored, np.asarray(case.reference()), spacing_mm, scoring)
        on_case(number, prediction)
    return scores


def mean_dices(
    predict: Predict,
    cases: Sequence[PreparedCase],
    info: DatasetInfo,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, ...]:
    """Return each case's Dice on the prepared grid, averaged over the regions, for selection.

    Two empty masks agree (1) under every policy: selection needs a number for every case.
    ``on_case`` is called as ``on_case(n_done, n_cases)`` after each case.
    Raises: NotFiniteError if the logits of a case are not finite.
    """
    means = []
    for case in cases:
        found, wanted = segment(predict, case), np.asarray(case.label())
        prediction, reference = leave_out_ignored(found, wanted, info)
        dices = [
            dice(region_mask(prediction, region), region_mask(reference, region))
            for region in info.regions
        ]
        means.append(float(np.mean(dices)))
        on_case(len(means), len(cases))
    return tuple(means)
