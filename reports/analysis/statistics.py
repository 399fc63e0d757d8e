"""Paired statistics over cases: which differences between methods are more than chance.

Everything takes a score matrix (blocks x methods) of `reports.analysis.tidy.score_matrix`: one
number per case, seeds averaged before. Definitions, assumptions and references are in
docs/statistics.md.

References: Wilcoxon 1945; Holm 1979; Demsar 2006, JMLR 7:1-30; Efron 1987 (BCa); Kerby 2014
(rank-biserial); Wiesenfarth et al. 2021, Scientific Reports 11:2369 (rank intervals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, inf, log2, nan, sqrt

import numpy as np
import pandas as pd
from scipy import stats

from reports.analysis.tidy import common_rows

ALPHA = 0.05
RESAMPLES = 9999
LEAST_FOR_INTERVAL = 5  # below, a bootstrap interval is far too short


class TooFewError(ValueError):
    """There are too few blocks or methods for a verdict; the message says how many are needed."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; nan where it could not be computed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """Which methods cannot be told from the best one; ``reason`` says why there is no verdict, else it is empty."""

    best: str
    tied: frozenset[str]  # without the best
    n_cases: int
    reason: str = ""


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
        """Return the largest groups of methods, best first, that the critical difference does not tell apart."""
        order = sorted(self.mean_ranks, key=self.mean_ranks.__getitem__)
        groups: list[tuple[str, ...]] = []
        for start, first in enumerate(order):
            reach = self.mean_ranks[first] + self.critical_difference
            group = tuple(name for name in order[start:] if self.mean_ranks[name] <= reach)
            if len(group) > 1 and not any(set(group) <= set(other) for other in groups):
                groups.append(group)
        return groups


def least_cases(n_comparisons: int, alpha: float = ALPHA) -> int:
    """Return the number of cases below which no signed-rank test can be significant after Holm's correction.

    The smallest two-sided p of n differences is 2 / 2^n; Holm compares it with alpha / comparisons.
    """
    return ceil(1 + log2(n_comparisons / alpha))


def signed_rank_p(differences: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; zero differences are dropped, and 1 if nothing is left.

    Exact up to 50 differences without ties and up to 13 with, else normal with correction for ties
    (SciPy's choice).
    """
    kept = differences[differences != 0]
    if kept.size == 0:
        return 1.0
    return float(stats.wilcoxon(kept, zero_method="wilcox", method="auto").pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p values in the given order; nan stays nan and does not count as a comparison."""
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def rank_biserial(differences: np.ndarray) -> float:
    """Return the matched-pairs rank-biserial correlation: the share of rank sums for minus that against, in [-1, 1]."""
    kept = differences[differences != 0]
    if kept.size == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(kept))
    return float((ranks[kept > 0].sum() - ranks[kept < 0].sum()) / ranks.sum())


def cohen_dz(differences: np.ndarray) -> float:
    """Return the mean of the paired differences in units of their standard deviation; nan if that is zero."""
    spread = float(np.std(differences, ddof=1)) if differences.size > 1 else 0.0
    return float(differences.mean()) / spread if spread > 0 else nan


def compare_with(scores: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return one row per other method against ``reference``, a method that was chosen before looking at the scores.

    Columns: method, reference, n, difference, low, high (bootstrap), p, p_holm, rank_biserial,
    cohen_dz. A difference is method minus reference, over the cases on which both are defined.

    Raises: ValueError if the reference is unknown; TooFewError if there is no other method or too
    few cases.
    """
    names = _names(scores)
    if reference not in names:
        raise ValueError(
            f"statistics: the reference must be one of {', '.join(names)}, got '{reference}'"
        )
    return _compare(scores, [(name, reference) for name in names if name != reference])


def compare_all(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair of methods, as `compare_with`; Holm's correction is over all pairs."""
    return _compare(scores, list(combinations(_names(scores), 2)))


def _compare(scores: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    if not pairs:
        raise TooFewError("statistics: a comparison must have two methods, got one")
    paired = {pair: (scores[pair[0]] - scores[pair[1]]).dropna().to_numpy(float) for pair in pairs}
    needed, fewest = least_cases(len(pairs)), min(values.size for values in paired.values())
    if fewest < needed:
        what = "a comparison" if len(pairs) == 1 else f"{len(pairs)} comparisons"
        raise TooFewError(f"statistics: {what} must have {needed} cases at least, got {fewest}")
    rows = []
    for (method, reference), values in paired.items():
        interval = bootstrap_mean(values)
        rows.append(
            {
                "method": method,
                "reference": reference,
                "n": values.size,
                "difference": interval.value,
                "low": interval.low,
                "high": interval.high,
                "p": signed_rank_p(values),
                "rank_biserial": rank_biserial(values),
                "cohen_dz": cohen_dz(values),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].to_list()))


def find_ties(scores: pd.DataFrame, *, largest_first: bool = True, alpha: float = ALPHA) -> Verdict:
    """Return which methods are tied with the one of the best mean.

    The best is chosen by the same scores that are then tested, so that the correction is over all
    pairs: whichever method comes out best, the chance to call any equal one worse is at most
    ``alpha``.
    """
    means = scores.mean()
    best = str((means if largest_first else -means).idxmax())
    others = [name for name in _names(scores) if name != best]
    n_pairs = len(others) * (len(others) + 1) // 2
    n_cases = min(
        (int((scores[best] - scores[name]).count()) for name in others), default=len(scores)
    )
    if not others:
        return Verdict(best, frozenset(), n_cases, "there is only one method")
    if n_cases < least_cases(n_pairs, alpha):
        few = f"{n_cases} cases are too few to tell {len(means)} methods apart"
        return Verdict(
            best, frozenset(), n_cases, f"{few}; at least {least_cases(n_pairs, alpha)} are needed"
        )
    pairs = list(combinations(_names(scores), 2))
    adjusted = holm(
        [signed_rank_p((scores[a] - scores[b]).dropna().to_numpy(float)) for a, b in pairs]
    )
    of_best = {frozenset(pair): p for pair, p in zip(pairs, adjusted, strict=True)}
    return Verdict(
        best,
        frozenset(name for name in others if of_best[frozenset((best, name))] >= alpha),
        n_cases,
    )


def mean_ranks(scores: pd.DataFrame) -> pd.Series[float]:
    """Return each method's rank averaged over the blocks on which all are defined; the largest score has rank 1."""
    ranks = stats.rankdata(-common_rows(scores), axis=1)
    return pd.Series(ranks.mean(axis=0), index=scores.columns)


def nemenyi_difference(n_methods: int, n_blocks: int, alpha: float = ALPHA) -> float:
    """Return by how much two mean ranks must differ at least to be significant.

    Reference: Demsar 2006, section 3.2.2: q sqrt(k (k + 1) / (6 N)), q of the studentised range
    over sqrt(2).
    """
    q = float(stats.studentized_range.ppf(1 - alpha, n_methods, inf)) / sqrt(2)
    return q * sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def friedman_nemenyi(scores: pd.DataFrame, alpha: float = ALPHA) -> Friedman:
    """Return Friedman's test over the blocks (data sets or cases) on which all methods are defined.

    Raises: TooFewError for fewer than three methods, or where no difference of mean ranks could be
    critical.
    """
    values = common_rows(scores)
    n, k = values.shape
    if k < 3:
        raise TooFewError(f"statistics: Friedman's test must have three methods at least, got {k}")
    if n < 2 or nemenyi_difference(k, n, alpha) >= k - 1:
        needed = next(
            count for count in range(2, 1000) if nemenyi_difference(k, count, alpha) < k - 1
        )
        raise TooFewError(
            f"statistics: Nemenyi's test of {k} methods must have {needed} blocks at least, got {n}"
        )
    ranks = mean_ranks(scores)
    if np.ptp(values, axis=1).max() == 0:  # nothing differs anywhere: no statistic, no evidence
        return Friedman(
            n,
            {str(name): float(rank) for name, rank in ranks.items()},
            0.0,
            1.0,
            0.0,
            1.0,
            nemenyi_difference(k, n, alpha),
        )
    test = stats.friedmanchisquare(*values.T)
    chi2, rest = float(test.statistic), n * (k - 1) - float(test.statistic)
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    p_f = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return Friedman(
        n,
        {str(name): float(rank) for name, rank in ranks.items()},
        chi2,
        float(test.pvalue),
        f,
        p_f,
        nemenyi_difference(k, n, alpha),
    )


def bootstrap_mean(values: np.ndarray, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean with its 95 % BCa bootstrap interval; the interval is nan below `LEAST_FOR_INTERVAL` values."""
    kept = values[~np.isnan(values)]
    if kept.size < LEAST_FOR_INTERVAL:
        return Interval(float(kept.mean()) if kept.size else nan, nan, nan)
    mean = float(kept.mean())
    if np.ptp(kept) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    found = stats.bootstrap(
        (kept,), np.mean, n_resamples=n_resamples, vectorized=True, method="BCa", rng=rng
    )
    return Interval(
        mean, float(found.confidence_interval.low), float(found.confidence_interval.high)
    )


def bootstrap_ranks(
    scores: pd.DataFrame, *, largest_first: bool = True, n_resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Return each method's rank by its mean score, with the 95 % interval of that rank when cases are drawn anew.

    All methods see the same draw. Reference: Wiesenfarth et al. 2021 ("aggregate then rank",
    bootstrapped).

    Raises: TooFewError below `LEAST_FOR_INTERVAL` cases on which all methods are defined.
    """
    values = common_rows(scores)
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        raise TooFewError(
            f"statistics: rank intervals must have {LEAST_FOR_INTERVAL} cases at least, got {n}"
        )
    signed = -values if largest_first else values
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
    # rounding: equal means must stay equal whatever the order of the sum
    ranks = stats.rankdata((draws @ signed).round(12), axis=1, method="average")
    own = stats.rankdata(signed.mean(axis=0).round(12), method="average")
    low, high = np.percentile(ranks, (2.5, 97.5), axis=0)
    rows = zip(_names(scores), own, low, high, strict=True)
    return {
        name: Interval(float(value), float(lowest), float(highest))
        for name, value, lowest, highest in rows
    }


def _names(scores: pd.DataFrame) -> list[str]:
    return [str(name) for name in scores.columns]
