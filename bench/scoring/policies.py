"""What a challenge says where a formula says nothing: scores of empty masks, and tolerances of the surface Dice.

An empty mask has no surface, and two empty masks have no overlap. Every challenge and every tool
decides these cases in its own way, which moves the mean of a region that is often absent by many
points; so a number is given with the name of its policy. docs/measuring.md says where each comes
from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from types import MappingProxyType

from datasets.base import DatasetInfo

OF_DATASET = "dataset"  # as a policy's name: the one of the data set


@dataclass(frozen=True)
class Outcome:
    """The scores of one case x region with an empty mask; nan leaves the case out of that mean."""

    dice: float
    hd95_mm: float
    nsd: float


@dataclass(frozen=True)
class EmptyPolicy:
    """The outcomes where both masks are empty, where the prediction misses the object, where it invents one."""

    both_empty: Outcome
    prediction_empty: Outcome
    reference_empty: Outcome

    def decide(self, n_reference_vox: int, n_predicted_vox: int) -> Outcome | None:
        """Return the outcome, or None if neither mask is empty and the formulas apply."""
        if n_reference_vox and n_predicted_vox:
            return None
        if n_reference_vox:
            return self.prediction_empty
        return self.reference_empty if n_predicted_vox else self.both_empty


def _agree_or_miss(both: Outcome, one: Outcome) -> EmptyPolicy:
    return EmptyPolicy(both_empty=both, prediction_empty=one, reference_empty=one)


UNDEFINED = Outcome(nan, nan, nan)

EMPTY_POLICIES = MappingProxyType(
    {
        # Up to 2022: a miss costs the diagonal of the challenge's 240 x 240 x 155 mm volumes.
        "brats": _agree_or_miss(Outcome(1.0, 0.0, 1.0), Outcome(0.0, 373.12866, 0.0)),
        "brats2023": _agree_or_miss(Outcome(1.0, 0.0, 1.0), Outcome(0.0, 374.0, 0.0)),
        # These rank no Hausdorff distance, and volumes of all sizes offer no penalty: Dice 0
        # carries the miss.
        "kits": _agree_or_miss(Outcome(1.0, nan, 1.0), Outcome(0.0, nan, 0.0)),
        "lits": _agree_or_miss(Outcome(1.0, nan, 1.0), Outcome(0.0, nan, 0.0)),
        "nnunet": _agree_or_miss(UNDEFINED, Outcome(0.0, nan, 0.0)),
        # MONAI's defaults: what is predicted where there is nothing does not count.
        "monai": EmptyPolicy(
            both_empty=UNDEFINED, prediction_empty=Outcome(0.0, nan, 0.0), reference_empty=UNDEFINED
        ),
        "medtuning": _agree_or_miss(Outcome(1.0, nan, nan), Outcome(0.0, nan, nan)),
    }
)

RELEASE_POLICIES = MappingProxyType(
    dict.fromkeys(("brats2018", "brats2019", "brats2020", "brats2021", "fets", "msd01"), "brats")
    | dict.fromkeys(("brats2023", "brats2024"), "brats2023")
    | dict.fromkeys(("kits19", "kits21", "kits23"), "kits")
    | dict.fromkeys(("lits", "lits-kaggle", "msd03"), "lits")
)
OTHER_POLICY = "kits"  # of a user's own data: Dice and surface Dice 1 or 0, no distance

# Inter-rater tolerances of the KiTS21 and KiTS23 challenges; KiTS19 takes them for what it has of
# these regions.
KITS_TOLERANCES_MM = {
    "kidney": 1.0330772532390826,
    "kidney_and_masses": 1.0330772532390826,
    "masses": 1.1328796488598762,
    "tumour": 1.1498198361434828,
}
NSD_TOLERANCES_MM = MappingProxyType(
    dict.fromkeys(("kits19", "kits21", "kits23"), KITS_TOLERANCES_MM)
)
LEAST_TOLERANCE_MM = 1.0


def choose_policy(info: DatasetInfo, asked: str = OF_DATASET) -> str:
    """Return the name of the policy for a data set, which is its own unless another is asked for."""
    return asked if asked != OF_DATASET else RELEASE_POLICIES.get(info.release, OTHER_POLICY)


def choose_tolerance_mm(
    info: DatasetInfo, region: str, spacing_mm: tuple[float, float, float]
) -> float:
    """Return the challenge's tolerance, or the largest of the case's voxel edges and 1 mm: no finer than the grid."""
    own = NSD_TOLERANCES_MM.get(info.release, {})
    return own.get(region, max(LEAST_TOLERANCE_MM, *spacing_mm))
