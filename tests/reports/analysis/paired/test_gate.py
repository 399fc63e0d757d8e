"""Stores of equal methods with trainings that differ: how often one is called worse.

`benchmarks/reports/statistics.py` does this for all designs and 1,000 stores.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.reports.statistics import (
    DESIGNS,
    FALSE_ALARMS_MOST,
    TRAINING_SDS,
    average,
    count_verdicts,
)
from reports.analysis.statistics import find_ties


@pytest.mark.slow
@pytest.mark.parametrize("design", [DESIGNS[0], DESIGNS[2]], ids=["3 seeds", "3 folds"])
def test_false_alarms_are_few_at_every_training_variance(design) -> None:
    for sd in TRAINING_SDS:
        alarms, power = count_verdicts(replace(design, training_sd=sd), 250)
        found = f"{alarms:.1%} false alarms, 3 points found in {power:.0%}"
        print(f"\ntraining sd {sd:g}: {found}")  # noqa: T201
        assert alarms <= FALSE_ALARMS_MOST


@pytest.mark.slow
def test_the_test_over_cases_alone_would_raise_false_alarms() -> None:
    design = replace(DESIGNS[1], training_sd=1.0)
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        scores = average(design.draw(rng))
        alarms += len(find_ties(scores, n_draws=999).tied) < len(design.methods) - 1
    assert alarms / 60 > 0.2
