"""How safe a mean is to rely on: bad cases, intervals, and how stable the ranking is.

References: Maier-Hein et al. 2018, Nature Communications 9:5217, and Wiesenfarth et al. 2021,
Scientific Reports 11:2369 (stability of rankings). Kendall 1945, Biometrika 33:239-251 (tau-b).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.paired.contrasts import Sample
from reports.analysis.paired.intervals import LEAST_FOR_INTERVAL, Interval
from reports.analysis.paired.resampling import iter_slices
from reports.analysis.scopes import Scope
from reports.analysis.statistics import TooFewError
from reports.analysis.tidy import MEAN

FAILURE_DICE = 0.1  # a region below has not been found
LOW_PERCENTILE = 5.0
DRAWS = 1000


@dataclass(frozen=True)
class BadCases:
    """The lower end of a method's scores, over trainings and cases."""

    low_dice: float  # `LOW_PERCENTILE` of mean Dice, fraction
    failed_frac: float  # of trainings and cases in which a region has a Dice below `FAILURE_DICE`


def find_bad_cases(scopes: Mapping[str, Scope], method: str) -> BadCases:
    """Return the lower end of a method's Dice, over the cases that its mean is of."""
    means = scopes[f"dice/{MEAN}"].select(method)
    failed = pd.Series(False, index=means.index)
    for key, scope in scopes.items():
        if key.startswith("dice/") and not key.endswith(f"/{MEAN}"):
            own = scope.values.xs(method, level="method")
            failed |= (own < FAILURE_DICE).reindex(means.index, fill_value=False)
    low = float(np.percentile(means, LOW_PERCENTILE)) if len(means) else float("nan")
    return BadCases(low, float(failed.mean()))


def mean_intervals(scope: Scope) -> dict[str, Interval]:
    """Return the 95 % interval of each ranked method's mean, by method."""
    if not scope.ranked:
        return {}
    sample = Sample.of(scope.matrix(), scope.matrix_of_runs())
    return {name: sample.estimate(sample.contrast(name)).interval() for name in scope.ranked}


def ranking_stability(scores: pd.DataFrame, n_draws: int = DRAWS, seed: int = 0) -> Interval:
    """Return Kendall's tau-b between the ranking by mean score and that of cases drawn anew.

    The value is the mean over the draws, the limits are the 2.5 and 97.5 percentiles. 1: every draw
    of cases gives the same ranking.

    Raises: TooFewError below two methods or `LEAST_FOR_INTERVAL` common cases.
    """
    values = scores.dropna().to_numpy(float)
    n, k = values.shape
    if k < 2 or n < LEAST_FOR_INTERVAL:
        rule = f"the stability of a ranking must have two methods and {LEAST_FOR_INTERVAL} cases"
        raise TooFewError(f"{rule}, got {k} and {n}")
    rng = np.random.default_rng(seed)
    drawn = np.empty((n_draws, k))
    for rows in iter_slices(n_draws, n):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=rows.stop - rows.start)
        # Rounded: equal means must stay equal in any order of the sum.
        drawn[rows] = (counts / n @ values).round(12)
    own = values.mean(axis=0).round(12)
    taus = _correlate_ranks(own, drawn)
    low, high = np.percentile(taus, (2.5, 97.5))
    return Interval(float(np.mean(taus)), float(low), float(high))


def _correlate_ranks(own: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b of one ranking and each row of others, (draws, methods).

    0 where a ranking has all methods equal.
    """
    first, second = np.triu_indices(len(own), 1)
    order = np.sign(own[first] - own[second])
    orders = np.sign(drawn[:, first] - drawn[:, second])
    untied = np.sqrt((order**2).sum() * (orders**2).sum(axis=1))
    return (orders @ order) / np.where(untied > 0, untied, 1)
