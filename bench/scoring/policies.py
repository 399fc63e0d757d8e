"""Policies for empty masks, and tolerances of the surface Dice.

Every challenge and tool scores empty masks in its own way. The choice moves the mean of a region
that is often absent by many points, so a number is given with the name of its policy.
`reports.records.metrics` has the values, docs/measuring.md the source of each policy.
"""

from math import nan
from types import MappingProxyType

from bench.scoring.surfaces import Spacing
from datasets.base import DatasetInfo
from reports.records.metrics import METRICS

OF_DATASET = "dataset"  # as a policy's name: the one of the data set

RELEASE_POLICIES = MappingProxyType(
    dict.fromkeys(("brats2017", "brats2018", "brats2019", "brats2020", "brats2021"), "brats")
    | dict.fromkeys(("fets2021", "fets2022", "msd01"), "brats")
    | dict.fromkeys(("brats2023", "brats2024", "brats2025", "ssa2023", "men2023"), "brats2023")
    | dict.fromkeys(("met2023", "met2025", "ped2023", "ped2024", "goat2024"), "brats2023")
    | dict.fromkeys(("kits19", "kits21", "kits23"), "kits")
    | dict.fromkeys(("lits17", "lits-kaggle", "msd03"), "lits")
)
OTHER_POLICY = "kits"  # of a user's own data: Dice and surface Dice 1 or 0, no distance

# Inter-rater tolerances of the KiTS21 and KiTS23 challenges; KiTS19 has some of these regions.
KITS_TOLERANCES_MM = {
    "kidney": 1.0330772532390826,
    "kidney_and_masses": 1.0330772532390826,
    "masses": 1.1328796488598762,
    "tumour": 1.1498198361434828,
}
NSD_TOLERANCES_MM = MappingProxyType(
    {"kits19": KITS_TOLERANCES_MM, "kits21": KITS_TOLERANCES_MM, "kits23": KITS_TOLERANCES_MM}
)
LEAST_TOLERANCE_MM = 1.0


def choose_policy(info: DatasetInfo, asked: str = OF_DATASET) -> str:
    """Return the name of the data set's policy, unless another is asked for."""
    if asked != OF_DATASET:
        return asked
    return RELEASE_POLICIES.get(info.release, OTHER_POLICY)


def score_empty(
    policy: str, n_reference_vox: int, n_predicted_vox: int, *, spacing_known: bool
) -> dict[str, float]:
    """Return all metrics of a case and region in which at least one mask is empty."""
    scores = dict.fromkeys(METRICS, nan)
    for name, metric in METRICS.items():
        if spacing_known or not metric.needs_spacing:
            scores[name] = metric.score_empty(policy, n_reference_vox, n_predicted_vox)
    return scores


def choose_tolerance_mm(info: DatasetInfo, region: str, spacing_mm: Spacing) -> float:
    """Return the challenge's tolerance, else the largest of the case's voxel edges and 1 mm."""
    own = NSD_TOLERANCES_MM.get(info.release, {})
    return own.get(region, max(LEAST_TOLERANCE_MM, *spacing_mm))
