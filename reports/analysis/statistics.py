"""Paired statistics over cases: which differences between methods are more than chance.

All functions take a score matrix (blocks x methods) of `reports.analysis.tidy.score_matrix`: one
number for each case, seeds averaged before. docs/statistics.md has definitions, assumptions and
references.

References: Wilcoxon 1945; Holm 1979; Demsar 2006, JMLR 7:1-30; Efron 1987 (BCa); Kerby 2014
(rank-biserial); Wiesenfarth et al. 2021, Scientific Reports 11:2369 (rank intervals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil, floor, inf, log2, nan, sqrt

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
    """The methods that cannot be told from the best one."""

    best: str
    tied: frozenset[str]  # without the best
    n_cases: int
    reason: str = ""  # why there is no verdict


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
    """Return the matched-pairs rank-biserial correlation, in [-1, 1].

    The rank sum of the positive differences minus that of the negative ones, over their sum.
    """
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

    Raises: ValueError if the reference is unknown; TooFewError if there is no other method or too
    few cases.
    """
    names = _names(scores)
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
    rows = []
    for name, test in tests.items():
        rows.append({"method": name, "reference": reference, **vars(test)})
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].to_list()))


def find_ties(scores: pd.DataFrame, *, largest_first: bool = True, alpha: float = ALPHA) -> Verdict:
    """Return which methods are tied with the one of the best mean.

    The best is chosen by the scores that are then tested. So the correction is over all pairs:
    for every method that may be the best, the chance to call an equal one worse is at most
    ``alpha``.
    """
    names = _names(scores)
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


def mean_ranks(scores: pd.DataFrame) -> pd.Series[float]:
    """Return each method's rank averaged over the complete blocks; the largest score has rank 1."""
    ranks = stats.rankdata(-_complete_blocks(scores), axis=1)
    return pd.Series(ranks.mean(axis=0), index=scores.columns)


def nemenyi_difference(n_methods: int, n_blocks: int, alpha: float = ALPHA) -> float:
    """Return the critical difference of two mean ranks.

    Reference: Demsar 2006, section 3.2.2: q sqrt(k (k + 1) / (6 N)), q of the studentised range
    over sqrt(2).
    """
    q = float(stats.studentized_range.ppf(1 - alpha, n_methods, inf)) / sqrt(2)
    return q * sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def friedman_nemenyi(scores: pd.DataFrame, alpha: float = ALPHA) -> Friedman:
    """Return Friedman's test over the blocks (data sets or cases) on which all are defined.

    Raises: TooFewError for fewer than three methods, or where no difference of mean ranks could be
    critical.
    """
    values = _complete_blocks(scores)
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
    test = stats.friedmanchisquare(*values.T)
    chi2 = float(test.statistic)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    p_f = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return replace(equal, chi2=chi2, p=float(test.pvalue), f=f, p_f=p_f)


def bootstrap_mean(values: np.ndarray, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean with its 95 % BCa bootstrap interval.

    The interval is nan below `LEAST_FOR_INTERVAL` values.
    """
    kept = values[~np.isnan(values)]
    mean = float(kept.mean()) if kept.size else nan
    if kept.size < LEAST_FOR_INTERVAL:
        return Interval(mean, nan, nan)
    if np.ptp(kept) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    low, high = stats.bootstrap(
        (kept,), np.mean, n_resamples=n_resamples, vectorized=True, method="BCa", rng=rng
    ).confidence_interval
    return Interval(mean, float(low), float(high))


def bootstrap_ranks(
    scores: pd.DataFrame, *, largest_first: bool = True, n_resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Return each method's rank by its mean score, with the rank's 95 % interval over the cases.

    All methods see the same draws of cases. Reference: Wiesenfarth et al. 2021 ("aggregate then
    rank", bootstrapped).

    Raises: TooFewError below `LEAST_FOR_INTERVAL` cases on which all methods are defined.
    """
    values = _complete_blocks(scores)
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        rule = f"rank intervals must have {LEAST_FOR_INTERVAL} cases at least"
        raise TooFewError(f"statistics: {rule}, got {n}")
    signed = -values if largest_first else values
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
    # Rounded: equal means must stay equal in any order of the sum.
    ranks = stats.rankdata((draws @ signed).round(12), axis=1)
    own = stats.rankdata(signed.mean(axis=0).round(12))
    low, high = np.percentile(ranks, (2.5, 97.5), axis=0)
    found = {}
    for index, name in enumerate(_names(scores)):
        found[name] = Interval(float(own[index]), float(low[index]), float(high[index]))
    return found


def _complete_blocks(scores: pd.DataFrame) -> np.ndarray:
    """Return the rows in which every method is defined, as float (n, k)."""
    return scores.dropna().to_numpy(float)


def _names(scores: pd.DataFrame) -> list[str]:
    return [str(name) for name in scores.columns]


def _differences(scores: pd.DataFrame, first: str, second: str) -> np.ndarray:
    return (scores[first] - scores[second]).dropna().to_numpy(float)
