"""The scores of one case: every registered metric and the volumes, region by region.

Dice is 2 |A and B| / (|A| + |B|) of voxel counts; surfaces.py has the surface metrics, policies.py
the scores of empty masks. Where a spacing is not known, all that is measured in mm is nan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan, prod

import numpy as np

from bench.scoring.policies import choose_policy, choose_tolerance_mm, score_empty
from bench.scoring.surfaces import Spacing, bounding_box, hausdorff_95, surface_dice
from bench.specs.protocol import EvalSpec
from datasets.base import IGNORED_CLASS, DatasetInfo, Region
from reports.records.metrics import METRICS
from reports.records.run import CaseScore

MM3_PER_ML = 1000.0
UNKNOWN_SPACING: Spacing = (nan, nan, nan)


@dataclass(frozen=True)
class Scoring:
    """The rules of scoring; equal for all cases of a data set."""

    info: DatasetInfo
    spec: EvalSpec

    @property
    def policy_name(self) -> str:
        return choose_policy(self.info, self.spec.empty_policy)

    def tolerance_mm(self, region: str, spacing_mm: Spacing) -> float:
        if isnan(spacing_mm[0]):
            return nan
        return self.spec.nsd_tolerance_mm or choose_tolerance_mm(self.info, region, spacing_mm)


@dataclass(frozen=True)
class MaskPair:
    """The two masks of a region in their common bounding box, and how they are measured."""

    prediction: np.ndarray  # bool (D, H, W)
    reference: np.ndarray  # bool (D, H, W)
    spacing_mm: Spacing  # nan if it is not known
    tolerance_mm: float  # of the surface Dice; nan as the spacing
    spec: EvalSpec


# How each metric of `METRICS` is computed. Neither mask is empty, and the spacing is known where
# the metric needs it.
MEASURES: dict[str, Callable[[MaskPair], float]] = {
    "dice": lambda p: dice(p.prediction, p.reference),
    "hd95_mm": lambda p: hausdorff_95(p.prediction, p.reference, p.spacing_mm, p.spec.hd95),
    "nsd": lambda p: surface_dice(p.prediction, p.reference, p.spacing_mm, p.tolerance_mm),
}


def score_case(
    case_id: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Spacing | None,  # None if it is not known
    scoring: Scoring,
) -> list[CaseScore]:
    """Return one score per region of two maps of training classes (D, H, W), background 0.

    Raises: ValueError if the shapes differ or a spacing is not positive.
    """
    _check_shapes(prediction, reference)
    prediction, reference = leave_out_ignored(prediction, reference, scoring.info)
    spacing_mm = UNKNOWN_SPACING if spacing_mm is None else _check_spacing(spacing_mm)
    box = bounding_box((prediction != 0) | (reference != 0))
    prediction, reference = prediction[box], reference[box]
    scores = []
    for region in scoring.info.regions:
        masks = region_mask(prediction, region), region_mask(reference, region)
        own = bounding_box(masks[0] | masks[1])  # surfaces need no margin
        tolerance_mm = scoring.tolerance_mm(region.name, spacing_mm)
        pair = MaskPair(masks[0][own], masks[1][own], spacing_mm, tolerance_mm, scoring.spec)
        scores.append(_score_pair(case_id, region.name, pair, scoring.policy_name))
    return scores


def leave_out_ignored(
    prediction: np.ndarray, reference: np.ndarray, info: DatasetInfo
) -> tuple[np.ndarray, np.ndarray]:
    """Return two class maps that are background where the reference is to be ignored."""
    if info.ignored_value is None:
        return prediction, reference
    ignored = reference == IGNORED_CLASS
    return np.where(ignored, 0, prediction), np.where(ignored, 0, reference)


def score_missing(
    case_id: str, reference: np.ndarray, spacing_mm: Spacing | None, scoring: Scoring
) -> list[CaseScore]:
    """Return one score per region of a case that has no prediction: Dice 0 in every region.

    The other metrics are those of a miss under the policy for empty masks, nan where it has none;
    so is a region that the reference lacks.
    """
    empty = np.zeros_like(reference)
    rows = []
    for row in score_case(case_id, empty, reference, spacing_mm, scoring):
        known = not isnan(row.nsd_tolerance_mm)
        scores = score_empty(scoring.policy_name, 1, 0, spacing_known=known)
        rows.append(row.with_scores(scores | {"dice": 0.0}))
    return rows


def region_mask(class_map: np.ndarray, region: Region) -> np.ndarray:
    """Return where a class map (D, H, W) shows any class of the region, as bool (D, H, W)."""
    return np.isin(class_map, region.classes)


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice of two boolean masks: 1 if both are empty, 0 if exactly one is.

    Raises: ValueError if the shapes differ.
    """
    _check_shapes(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    if not total:
        return 1.0
    return float(2 * np.count_nonzero(prediction & reference) / total)


def _score_pair(case_id: str, region: str, pair: MaskPair, policy: str) -> CaseScore:
    n_predicted = int(np.count_nonzero(pair.prediction))
    n_reference = int(np.count_nonzero(pair.reference))
    spacing_known = not isnan(pair.spacing_mm[0])
    scores = dict.fromkeys(METRICS, nan)
    if not n_predicted or not n_reference:
        scores = score_empty(policy, n_reference, n_predicted, spacing_known=spacing_known)
    else:
        for name, metric in METRICS.items():
            if spacing_known or not metric.needs_spacing:
                scores[name] = MEASURES[name](pair)
    voxel_ml = prod(pair.spacing_mm) / MM3_PER_ML
    return CaseScore(
        case=case_id,
        region=region,
        dice=nan,
        hd95_mm=nan,
        n_reference_vox=n_reference,
        n_predicted_vox=n_predicted,
        n_common_vox=int(np.count_nonzero(pair.prediction & pair.reference)),
        nsd_tolerance_mm=pair.tolerance_mm,
        reference_ml=n_reference * voxel_ml,
        predicted_ml=n_predicted * voxel_ml,
    ).with_scores(scores)


def _check_spacing(spacing_mm: Spacing) -> Spacing:
    if len(spacing_mm) != 3 or not all(0 < step < np.inf for step in spacing_mm):
        got = tuple(spacing_mm)
        raise ValueError(f"metrics: spacing must be three positive lengths in mm, got {got}")
    return spacing_mm


def _check_shapes(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape or prediction.ndim != 3:
        rule = "prediction and reference must be (D, H, W) of equal shape"
        raise ValueError(f"metrics: {rule}, got {prediction.shape} and {reference.shape}")
