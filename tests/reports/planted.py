"""Runs whose label maps are planted and scored by the code that scores a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.scoring.metrics import Scoring, score_case
from bench.specs.protocol import EvalSpec
from datasets.kits import Kits
from reports.records.run import RunResult
from tests.reports.made_results import make_result

SHAPE = (8, 16, 32)
KIDNEY, TUMOUR = 1, 2
KITS = Kits.describe("kits19")


@dataclass(frozen=True)
class Plant:
    """What a method predicts of each case: how many voxels the tumour is beside its place."""

    shifts: Sequence[int]  # a case each
    missed: frozenset[int] = frozenset()  # numbers of the cases of which the tumour is missed


def draw_map(shift: int, *, tumour: bool) -> np.ndarray:
    """Return a class map (D, H, W) with a kidney and, ``shift`` voxels aside, a tumour."""
    class_map = np.zeros(SHAPE, dtype=np.uint8)
    class_map[2:6, 2:7, 2:8] = KIDNEY
    if tumour:
        class_map[3:6, 9:12, 10 + shift : 14 + shift] = TUMOUR
    return class_map


def plant_run(
    method: str,
    plant: Plant,
    *,
    absent: frozenset[int] = frozenset(),
    policy: str = "dataset",
    seed: int = 0,
    weights: str = "none",
) -> RunResult:
    """Return a finished run; of the cases ``absent`` the reference has no tumour."""
    scoring = Scoring(KITS, EvalSpec(empty_policy=policy))
    rows = []
    for number, shift in enumerate(plant.shifts):
        reference = draw_map(0, tumour=number not in absent)
        prediction = draw_map(shift, tumour=number not in plant.missed)
        rows += score_case(f"case_{number:02d}", prediction, reference, (1.0, 1.0, 1.0), scoring)
    made = make_result(method, "kits", seed=seed, weights=weights)
    regions = tuple(region.name for region in KITS.regions)
    return replace(made, cases=tuple(rows), regions=regions, empty_policy=scoring.policy_name)


def plant_misses(missed: Mapping[str, Sequence[int]], n: int = 20, **options) -> list[RunResult]:
    """Return a run per method that misses these tumours and is near the others.

    The more a method misses, the nearer it is to the tumours that it finds: by the mean over its
    own cases it is the best. A case is the harder, the higher its number.
    """
    runs = []
    for method, cases in missed.items():
        nearer = 0 if cases else 2
        shifts = [1 + number // 4 + nearer + len(method) % 2 for number in range(n)]
        runs.append(plant_run(method, Plant(shifts, frozenset(cases)), **options))
    return runs
