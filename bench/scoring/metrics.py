"""The scores of one case: overlap, surface distances and volumes per region, empty masks decided by a named policy.

Dice is 2 |A and B| / (|A| + |B|) of voxel counts. `bench.scoring.surfaces` has the two surface
metrics, `bench.scoring.policies` what holds where a mask is empty. Where the spacing of a case is
not known, all that is measured in mm is nan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, prod

import numpy as np

from bench.scoring.policies import (
    EMPTY_POLICIES,
    EmptyPolicy,
    Outcome,
    choose_policy,
    choose_tolerance_mm,
)
from bench.scoring.surfaces import Spacing, bounding_box, hausdorff_95, surface_dice
from bench.specs.protocol import EvalSpec
from datasets.base import DatasetInfo, Region
from reports.records.run import CaseScore

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Scoring:
    """What is scored and by which rules; equal for all cases of a data set."""

    info: DatasetInfo
    spec: EvalSpec

    @property
    def policy_name(self) -> str:
        """The rule for empty masks: the data set's, or the one that the protocol names."""
        return choose_policy(self.info, self.spec.empty_policy)

    @property
    def policy(self) -> EmptyPolicy:
        """The rule itself."""
        return EMPTY_POLICIES[self.policy_name]

    def tolerance_mm(self, region: str, spacing_mm: Spacing) -> float:
        """Return the tolerance of the surface Dice for a region of a case."""
        return self.spec.nsd_tolerance_mm or choose_tolerance_mm(self.info, region, spacing_mm)


def score_case(
    case_id: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Spacing | None,
    scoring: Scoring,
) -> list[CaseScore]:
    """Return one score per region.

    ``prediction`` and ``reference`` are maps of training classes, integers (D, H, W), background 0;
    the spacing is (D, H, W), None if it is not known.

    Raises: ValueError if the shapes differ or a spacing is not positive.
    """
    _check_shapes(prediction, reference)
    if spacing_mm is not None and not (
        len(spacing_mm) == 3 and all(0 < step < np.inf for step in spacing_mm)
    ):
        raise ValueError(
            f"metrics: spacing must be three positive lengths in mm, got {tuple(spacing_mm)}"
        )
    box = bounding_box((prediction != 0) | (reference != 0))
    prediction, reference = prediction[box], reference[box]
    return [
        _score_region(case_id, region, prediction, reference, spacing_mm, scoring)
        for region in scoring.info.regions
    ]


def region_mask(class_map: np.ndarray, region: Region) -> np.ndarray:
    """Return where a class map (D, H, W) shows any class of the region, as bool (D, H, W)."""
    return np.isin(class_map, region.classes)


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice coefficient of two boolean masks of equal shape: 1 if both are empty, 0 if exactly one is.

    Raises: ValueError if the shapes differ.
    """
    _check_shapes(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(prediction & reference) / total if total else 1.0


def _score_region(
    case_id: str,
    region: Region,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Spacing | None,
    scoring: Scoring,
) -> CaseScore:
    predicted, wanted = region_mask(prediction, region), region_mask(reference, region)
    n_predicted, n_wanted, n_common = (
        int(mask.sum()) for mask in (predicted, wanted, predicted & wanted)
    )
    tolerance_mm = nan if spacing_mm is None else scoring.tolerance_mm(region.name, spacing_mm)
    outcome = scoring.policy.decide(n_wanted, n_predicted)
    if outcome is None:
        outcome = _measure(predicted, wanted, spacing_mm, tolerance_mm, scoring.spec.hd95)
    voxel_ml = nan if spacing_mm is None else prod(spacing_mm) / MM3_PER_ML
    return CaseScore(
        case=case_id,
        region=region.name,
        dice=outcome.dice,
        hd95_mm=nan if spacing_mm is None else outcome.hd95_mm,
        n_reference_vox=n_wanted,
        n_predicted_vox=n_predicted,
        n_common_vox=n_common,
        nsd=nan if spacing_mm is None else outcome.nsd,
        nsd_tolerance_mm=tolerance_mm,
        reference_ml=n_wanted * voxel_ml,
        predicted_ml=n_predicted * voxel_ml,
    )


def _measure(
    predicted: np.ndarray,
    wanted: np.ndarray,
    spacing_mm: Spacing | None,
    tolerance_mm: float,
    variant: str,
) -> Outcome:
    overlap = dice(predicted, wanted)
    if spacing_mm is None:
        return Outcome(overlap, nan, nan)
    box = bounding_box(
        predicted | wanted
    )  # outside there is no object, and the surfaces need no margin
    predicted, wanted = predicted[box], wanted[box]
    return Outcome(
        dice=overlap,
        hd95_mm=hausdorff_95(predicted, wanted, spacing_mm, variant),
        nsd=surface_dice(predicted, wanted, spacing_mm, tolerance_mm),
    )


def _check_shapes(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape or prediction.ndim != 3:
        shapes = f"{prediction.shape} and {reference.shape}"
        raise ValueError(
            f"metrics: prediction and reference must be (D, H, W) of equal shape, got {shapes}"
        )
