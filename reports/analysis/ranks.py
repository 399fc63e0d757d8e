"""Ranks of methods over blocks (data sets or cases): Friedman's test, and intervals of ranks.

All functions take a score matrix (blocks x methods) as `reports.analysis.statistics`.

References: Demsar 2006, JMLR 7:1-30 (Friedman, Nemenyi); Mogstad, Romano, Shaikh & Wilhelm 2024,
Review of Economic Studies 91:476-518 (rank intervals).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, inf, sqrt

import numpy as np
import pandas as pd
import scipy

from reports.analysis.paired.contrasts import Sample
from reports.analysis.paired.intervals import (
    ALPHA,
    LEAST_FOR_COVERAGE,
    LEAST_FOR_INTERVAL,
    Interval,
    round_noise,
)
from reports.analysis.statistics import TooFewError


@dataclass(frozen=True)
class Friedman:
    """Friedman's test with Nemenyi's critical difference of mean ranks (rank 1 is best)."""

    n_blocks: int
    mean_ranks: dict[str, float]
    chi2: float  # corrected for ties
    p: float
    f: float  # Iman & Davenport's, less conservative
    p_f: float
    critical_difference: float

    @property
    def cliques(self) -> list[tuple[str, ...]]:
        """The largest groups of methods within the critical difference, best first."""
        order = sorted(self.mean_ranks, key=self.mean_ranks.__getitem__)
        groups: list[tuple[str, ...]] = []
        for start, first in enumerate(order):
            reach = self.mean_ranks[first] + self.critical_difference
            group = tuple(name for name in order[start:] if self.mean_ranks[name] <= reach)
            if len(group) > 1 and not any(set(group) <= set(other) for other in groups):
                groups.append(group)
        return groups


def mean_ranks(scores: pd.DataFrame) -> pd.Series[float]:
    """Return each method's rank averaged over the complete blocks; the largest score has rank 1.

    A method that no block defines has none.
    """
    scores = scores.dropna(axis="columns", how="all")
    ranks = scipy.stats.rankdata(-_complete_blocks(scores), axis=1)
    return pd.Series(ranks.mean(axis=0), index=scores.columns)


def nemenyi_difference(n_methods: int, n_blocks: int, alpha: float = ALPHA) -> float:
    """Return the critical difference of two mean ranks (Demsar 2006, section 3.2.2)."""
    q = float(scipy.stats.studentized_range.ppf(1 - alpha, n_methods, inf)) / sqrt(2)
    return q * sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def friedman_nemenyi(scores: pd.DataFrame, alpha: float = ALPHA) -> Friedman:
    """Return Friedman's test over the blocks (data sets or cases) on which all are defined.

    A method that no block defines is left out.

    Raises: TooFewError below three methods, or where no difference of mean ranks could be critical.
    """
    values = _complete_blocks(scores.dropna(axis="columns", how="all"))
    n, k = values.shape
    if k < 3:
        raise TooFewError(f"statistics: Friedman's test must have three methods at least, got {k}")
    # The critical difference falls with the root of the blocks; no difference exceeds k - 1.
    needed = max(2, floor((nemenyi_difference(k, 1, alpha) / (k - 1)) ** 2) + 1)
    if n < needed:
        rule = f"Nemenyi's test of {k} methods must have {needed} blocks at least"
        raise TooFewError(f"statistics: {rule}, got {n}")
    ranks = {str(name): float(rank) for name, rank in mean_ranks(scores).items()}
    equal = Friedman(n, ranks, 0.0, 1.0, 0.0, 1.0, nemenyi_difference(k, n, alpha))
    if np.ptp(values, axis=1).max() == 0:  # no method differs on any block: no evidence
        return equal
    test = scipy.stats.friedmanchisquare(*values.T)
    chi2 = float(test.statistic)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    p_f = float(scipy.stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return replace(equal, chi2=chi2, p=float(test.pvalue), f=f, p_f=p_f)


def rank_intervals(
    scores: pd.DataFrame, runs: pd.DataFrame | None = None, *, largest_first: bool = True
) -> dict[str, Interval]:
    """Return each method's rank by its mean score, with the rank's 95 % interval.

    A method's rank is at least 1 + the number of methods that are better than it beyond chance, and
    the other end likewise; the tests are those of the means, corrected over its differences to all
    others. Ranks are whole numbers, so the interval covers more often than in 95 %.

    Args:
        scores: (cases x methods), seeds averaged.
        runs: the same by training: index (fold, seed, case), a column per method.
        largest_first: whether the largest mean has rank 1.

    Raises: TooFewError below `LEAST_FOR_INTERVAL` cases on which all methods are defined.
    """
    sample = Sample.of(scores, runs)
    n = sample.n_cases
    if n < LEAST_FOR_INTERVAL:
        rule = f"rank intervals must have {LEAST_FOR_INTERVAL} cases at least"
        raise TooFewError(f"statistics: {rule}, got {n}")
    names = list(sample.scores.columns)
    means = sample.scores.mean().to_numpy(float) * (-1 if largest_first else 1)
    own = scipy.stats.rankdata(round_noise(means, float(np.abs(means).max())))
    found = {}
    for index, name in enumerate(names):
        others = np.arange(len(names)) != index
        contrasts = np.array([sample.contrast(name, other) for other in np.array(names)[others]])
        low, high = 1, len(names)
        if len(contrasts):
            differs = sample.test(contrasts)[1] < ALPHA
            low += int((differs & (own[others] < own[index])).sum())
            high -= int((differs & (own[others] > own[index])).sum())
        found[str(name)] = Interval(float(own[index]), low, high, n < LEAST_FOR_COVERAGE)
    return found


def _complete_blocks(scores: pd.DataFrame) -> np.ndarray:
    values = scores.dropna().to_numpy(float)  # (n, k)
    return round_noise(values, float(np.abs(values).max(initial=0.0)))
