"""Small enhancing tumours taken as core: a usual last step on BraTS.

Its scores are reported beside the plain ones, never instead. Predicted enhancing tumour of fewer
than N voxels becomes necrosis, which changes the scores of ET alone, to those of an empty
prediction. The gain comes from the policy, which takes an empty prediction of an absent tumour as
perfect, so N is chosen on the inner validation cases before the held-out ones are opened.

Reference: Isensee et al. 2020, arXiv 2011.00848 (nnU-Net for BraTS 2020).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import fmean

import numpy as np

from bench.scoring.metrics import Scoring
from bench.scoring.policies import score_empty
from bench.specs.protocol import ET_AUTO
from datasets.base import DatasetInfo
from reports.records.run import CaseScore, PostProcessing

REGION, CORE = "ET", "TC"
CANDIDATES_VOX = (0, 10, 25, 50, 100, 200, 300, 500, 750, 1000)
OFF = "0"  # of eval.et_min_vox


@dataclass(frozen=True)
class Cutoff:
    """The number of voxels that a predicted enhancing tumour needs."""

    min_vox: int
    tried: tuple[tuple[int, float], ...]  # candidates with their mean Dice on validation cases
    policy: str  # for empty masks

    def apply(self, rows: Iterable[CaseScore]) -> PostProcessing:
        scores = drop_small(rows, self.min_vox, self.policy)
        return PostProcessing(REGION, self.min_vox, self.tried, scores)


def is_known(info: DatasetInfo) -> bool:
    """Return whether a data set has enhancing tumour."""
    return any(region.name == REGION for region in info.regions)


def choose_cutoff(
    scoring: Scoring, score_validation: Callable[[], Sequence[CaseScore]]
) -> Cutoff | None:
    """Return the cutoff that the protocol asks for; None if it asks for none or there is no ET.

    Under ``auto`` it is the candidate with the best mean Dice of ET on the validation cases, the
    smallest of equal ones, so that nothing is relabelled without a gain.
    """
    asked = scoring.spec.et_min_vox
    if asked == OFF or not is_known(scoring.info):
        return None
    if asked != ET_AUTO:
        return Cutoff(int(asked), (), scoring.policy_name)
    rows = score_validation()
    policy = scoring.policy_name
    candidates = {count: drop_small(rows, count, policy) for count in CANDIDATES_VOX}
    tried = list(zip(candidates, _mean_dices(list(candidates.values())), strict=True))
    best = max(tried, key=lambda pair: -1.0 if isnan(pair[1]) else pair[1])
    return Cutoff(best[0], tuple(tried), policy)


def drop_small(rows: Iterable[CaseScore], min_vox: int, policy: str) -> tuple[CaseScore, ...]:
    """Return the scores of ET with predictions of fewer than ``min_vox`` voxels taken as none."""
    kept = []
    for row in rows:
        if row.region == REGION:
            small = 0 < row.n_predicted_vox < min_vox
            kept.append(_without_prediction(row, policy) if small else row)
    return tuple(kept)


def relabel_small(classes: np.ndarray, info: DatasetInfo, min_vox: int) -> np.ndarray:
    """Return a class map (D, H, W) in which fewer than ``min_vox`` enhancing voxels are core."""
    regions = {region.name: region.classes for region in info.regions}
    enhancing = np.isin(classes, regions[REGION])
    if np.count_nonzero(enhancing) >= min_vox:
        return classes
    (rest,) = set(regions[CORE]) - set(regions[REGION])
    return np.where(enhancing, classes.dtype.type(rest), classes)


def _without_prediction(row: CaseScore, policy: str) -> CaseScore:
    spacing_known = not isnan(row.nsd_tolerance_mm)
    scores = score_empty(policy, row.n_reference_vox, 0, spacing_known=spacing_known)
    predicted_ml = 0.0 if spacing_known else nan
    empty = replace(row, n_predicted_vox=0, n_common_vox=0, predicted_ml=predicted_ml)
    return empty.with_scores(scores)


def _mean_dices(candidates: Sequence[Sequence[CaseScore]]) -> list[float]:
    """Return each candidate's mean Dice over the cases in which all candidates have one.

    A policy may leave an empty prediction of an absent tumour undefined. A mean over the other
    cases would be better by that alone.
    """
    by_case = []
    dices = [[row.dice for row in rows] for rows in candidates]
    for scores in zip(*dices, strict=True):
        if not any(map(isnan, scores)):
            by_case.append(scores)
    if not by_case:
        return [nan] * len(candidates)
    return list(map(fmean, zip(*by_case, strict=True)))
