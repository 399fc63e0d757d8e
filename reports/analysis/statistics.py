"""Paired statistics over cases: which differences between methods are more than chance.

A score matrix is that of `reports.analysis.tidy.score_matrix` (cases x methods); docs/statistics.md
has definitions and assumptions.

References: Wilcoxon 1945; Holm 1979; Efron 1987 (BCa); Kerby 2014 (rank-biserial).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, log2, nan

import numpy as np
import pandas as pd
from scipy import stats

ALPHA = 0.05
RESAMPLES = 9999
LEAST_FOR_INTERVAL = 5  # below, a bootstrap interval is far too short


class TooFewError(ValueError):
    """There are too few blocks or methods for a verdict; the message has the number needed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; nan where it could not be computed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Two methods or runs on the cases on which both are defined."""

    n: int
    first: float  # mean
    second: float  # mean
    difference: Interval  # of the mean of second minus first
    p: float | None  # of the signed-rank test; None for too few cases
    rank_biserial: float
    cohen_dz: float


@dataclass(frozen=True)
class Verdict:
    """The methods that cannot be told from the best."""

    best: str
    tied: frozenset[str]  # without the best
    n_cases: int
    reason: str = ""  # why there is no verdict


def least_cases(n_comparisons: int, alpha: float = ALPHA) -> int:
    """Return the number of cases below which no signed-rank test can be significant.

    The smallest two-sided p of n differences is 2 / 2^n; Holm compares it with alpha / comparisons.
    """
    return ceil(1 + log2(n_comparisons / alpha))


def signed_rank_p(differences: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; 1 if all differences are zero.

    Zero differences are dropped. Exact up to 50 differences without ties and up to 13 with, else
    normal with correction for ties (SciPy's choice).
    """
    kept = differences[differences != 0]
    if kept.size == 0:
        return 1.0
    return float(stats.wilcoxon(kept, zero_method="wilcox", method="auto").pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p values; nan stays nan and does not count as a comparison."""
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def rank_biserial(differences: np.ndarray) -> float:
    """Return the matched-pairs rank-biserial correlation, in [-1, 1]."""
    kept = differences[differences != 0]
    if kept.size == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(kept))
    return float((ranks[kept > 0].sum() - ranks[kept < 0].sum()) / ranks.sum())


def cohen_dz(differences: np.ndarray) -> float:
    """Return the mean difference in standard deviations of the differences; nan if these are 0."""
    spread = float(np.std(differences, ddof=1)) if differences.size > 1 else 0.0
    return float(differences.mean()) / spread if spread > 0 else nan


def compare_pairs(first: pd.Series[float], second: pd.Series[float]) -> PairedTest:
    """Return the test of two columns of scores with the same cases."""
    pairs = pd.DataFrame({"first": first, "second": second}).dropna()
    values = (pairs["second"] - pairs["first"]).to_numpy(float)
    return PairedTest(
        n=int(values.size),
        first=float(pairs["first"].mean()),
        second=float(pairs["second"].mean()),
        difference=bootstrap_mean(values),
        p=signed_rank_p(values) if values.size >= least_cases(1) else None,
        rank_biserial=rank_biserial(values),
        cohen_dz=cohen_dz(values),
    )


def compare_with(scores: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return one row per other method against a reference that was chosen without the scores.

    Columns: method, reference, p_holm, and the fields of `PairedTest` with the reference as first.

    Raises: ValueError if the reference is unknown; TooFewError for too few methods or cases.
    """
    names = list(scores.columns)
    if reference not in names:
        rule = f"the reference must be one of {', '.join(names)}"
        raise ValueError(f"statistics: {rule}, got '{reference}'")
    others = [name for name in names if name != reference]
    if not others:
        raise TooFewError("statistics: a comparison must have two methods, got one")
    tests = {name: compare_pairs(scores[reference], scores[name]) for name in others}
    fewest = min(test.n for test in tests.values())
    if fewest < least_cases(len(others)):
        what = "a comparison" if len(others) == 1 else f"{len(others)} comparisons"
        rule = f"{what} must have {least_cases(len(others))} cases at least"
        raise TooFewError(f"statistics: {rule}, got {fewest}")
    table = pd.DataFrame([vars(test) for test in tests.values()])
    table.insert(0, "method", others)
    table.insert(1, "reference", reference)
    return table.assign(p_holm=holm(table["p"].to_list()))


def find_ties(scores: pd.DataFrame, *, largest_first: bool = True, alpha: float = ALPHA) -> Verdict:
    """Return which methods are tied with the one of the best mean.

    The same scores choose the best and test it, so the correction is over all pairs: for every
    method that may be the best, the chance to call an equal one worse is at most ``alpha``.
    """
    names = list(scores.columns)
    means = scores.mean()
    best = str((means if largest_first else -means).idxmax())
    if len(names) == 1:
        return Verdict(best, frozenset(), len(scores), "there is only one method")
    counts = [_differences(scores, best, name).size for name in names if name != best]
    pairs = list(combinations(names, 2))
    needed = least_cases(len(pairs), alpha)
    if min(counts) < needed:
        few = f"{min(counts)} cases are too few to tell {len(names)} methods apart"
        reason = f"{few}; at least {needed} are needed"
        return Verdict(best, frozenset(), min(counts), reason)
    adjusted = holm([signed_rank_p(_differences(scores, *pair)) for pair in pairs])
    tied: set[str] = set()
    for pair, p in zip(pairs, adjusted, strict=True):
        if best in pair and p >= alpha:
            tied |= set(pair) - {best}
    return Verdict(best, frozenset(tied), min(counts))


def bootstrap_mean(values: np.ndarray, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean with its 95 % BCa interval, nan below `LEAST_FOR_INTERVAL` values."""
    kept = values[~np.isnan(values)]
    mean = float(kept.mean()) if kept.size else nan
    if kept.size < LEAST_FOR_INTERVAL:
        return Interval(mean, nan, nan)
    if np.ptp(kept) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    drawn = stats.bootstrap((kept,), np.mean, n_resamples=n_resamples, method="BCa", rng=rng)
    low, high = drawn.confidence_interval
    return Interval(mean, float(low), float(high))


def _differences(scores: pd.DataFrame, first: str, second: str) -> np.ndarray:
    return (scores[first] - scores[second]).dropna().to_numpy(float)
