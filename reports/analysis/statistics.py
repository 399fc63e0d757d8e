"""Paired tests of methods: which differences of the printed means are more than chance.

A score matrix is that of `reports.analysis.tidy.score_matrix` (cases x methods). Where runs are
given too (a row per fold, seed and case), tests and intervals are over trainings and cases:
`reports.analysis.paired`. docs/statistics.md has definitions and assumptions.

References: Wilcoxon 1945; Holm 1979; Kerby 2014 (rank-biserial).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, nan, sqrt

import numpy as np
import pandas as pd
import scipy

from reports.analysis.paired.contrasts import Sample, list_pairs
from reports.analysis.paired.intervals import ALPHA, Interval, estimate_mean, subtract
from reports.analysis.paired.resampling import DRAWS


class TooFewError(ValueError):
    """There are too few blocks or methods for a verdict; the message has the number needed."""


@dataclass(frozen=True)
class PairedTest:
    """Two methods or runs on the cases on which both are defined."""

    n: int
    first: float  # mean
    second: float  # mean
    difference: Interval  # of the mean of second minus first
    p: float | None  # of the test of the mean; None for too few cases
    p_wilcoxon: float | None  # of the signed-rank test over cases; None for too few cases
    rank_biserial: float
    cohen_dz: float


@dataclass(frozen=True)
class Verdict:
    """The methods that cannot be told from the best."""

    best: str
    tied: frozenset[str]  # without the best
    n_cases: int
    reason: str = ""  # why there is no verdict
    n_trainings: int = 1  # per method; 1: the test is over cases alone
    n_folds: int = 1  # of the trainings


LEAST_CASES = ceil(1 + log2(1 / ALPHA))  # below, no flip of signs and no signed rank has p < 0.05


def signed_rank_p(differences: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; 1 if all differences are zero.

    Zero differences are dropped. Exact up to 50 differences without ties and up to 13 with, else
    normal with correction for ties (SciPy's choice).
    """
    kept = differences[differences != 0]
    if kept.size == 0:
        return 1.0
    return float(scipy.stats.wilcoxon(kept, zero_method="wilcox", method="auto").pvalue)


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
    ranks = scipy.stats.rankdata(np.abs(kept))
    return float((ranks[kept > 0].sum() - ranks[kept < 0].sum()) / ranks.sum())


def cohen_dz(differences: np.ndarray) -> float:
    """Return the mean difference in standard deviations of the differences; nan if these are 0."""
    estimate = estimate_mean(differences)
    if not estimate.standard_error > 0:
        return nan
    return estimate.value / (estimate.standard_error * sqrt(estimate.n_cases))


def compare_pairs(first: pd.Series[float], second: pd.Series[float]) -> PairedTest:
    """Return the test of two columns of scores with the same cases."""
    scores = pd.DataFrame({"first": first, "second": second}).dropna()
    sample = Sample(scores, design=None)
    enough = len(scores) >= LEAST_CASES
    p = float(sample.test(sample.contrast("second", "first")[None])[0][0]) if enough else None
    return _describe_pair(sample, "first", "second", p)


def _describe_pair(sample: Sample, first: str, second: str, p: float | None) -> PairedTest:
    scores = sample.scores
    values = subtract(scores[second].to_numpy(float), scores[first].to_numpy(float))
    return PairedTest(
        n=sample.n_cases,
        first=float(scores[first].mean()),
        second=float(scores[second].mean()),
        difference=sample.estimate(sample.contrast(second, first)).interval(),
        p=p,
        p_wilcoxon=None if p is None else signed_rank_p(values),
        rank_biserial=rank_biserial(values),
        cohen_dz=cohen_dz(values),
    )


def compare_with(
    scores: pd.DataFrame, reference: str, runs: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per other method against a reference that was chosen without the scores.

    Columns: method, reference, p_corrected (step-down over the rows), p_wilcoxon_holm, and the
    fields of `PairedTest` with the reference as first. A method that no case defines has no row.

    Raises: ValueError if the reference is unknown; TooFewError for too few methods or cases.
    """
    sample = Sample.of(scores, runs)
    names = list(sample.scores.columns)
    if reference not in names:
        rule = f"the reference must be one of {', '.join(names)}"
        raise ValueError(f"statistics: {rule}, got '{reference}'")
    others = [name for name in names if name != reference]
    if not others:
        raise TooFewError("statistics: a comparison must have two methods, got one")
    if sample.n_cases < LEAST_CASES:
        rule = f"a comparison must have {LEAST_CASES} cases at least"
        raise TooFewError(f"statistics: {rule}, got {sample.n_cases}")
    p, corrected = sample.test(np.array([sample.contrast(name, reference) for name in others]))
    rows = []
    for name, own in zip(others, p, strict=True):
        rows.append(vars(_describe_pair(sample, reference, name, float(own))))
    table = pd.DataFrame(rows)
    table.insert(0, "method", others)
    table.insert(1, "reference", reference)
    return table.assign(p_corrected=corrected, p_wilcoxon_holm=holm(table["p_wilcoxon"].to_list()))


def find_ties(
    scores: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    largest_first: bool = True,
    alpha: float = ALPHA,
    n_draws: int = DRAWS,
) -> Verdict:
    """Return which methods are tied with the one of the best mean.

    The same scores choose the best and test it, so the correction is over all pairs: whichever
    method is the best, the chance to call any equal one worse is at most ``alpha``.

    Args:
        scores: (cases x methods), seeds averaged.
        runs: the same by training: index (fold, seed, case), a column per method.
        largest_first: whether the largest mean is the best.
        alpha: the chance of a false alarm.
        n_draws: of the resampling.
    """
    sample = Sample.of(scores, runs)
    names = list(sample.scores.columns)
    if not names:
        return Verdict("", frozenset(), 0, "no method has a defined score")
    means = sample.scores.mean() if sample.n_cases else scores.mean()
    means = means.round(12) if largest_first else -means.round(12)
    best = str(means.idxmax())
    if len(names) == 1:
        return Verdict(best, frozenset(), sample.n_cases, "there is only one method")
    if sample.n_cases < LEAST_CASES:
        few = f"{sample.n_cases} cases are too few to tell {len(names)} methods apart"
        reason = f"{few}; at least {LEAST_CASES} are needed"
        return Verdict(best, frozenset(), sample.n_cases, reason)
    contrasts = list_pairs(len(names))
    corrected = sample.test(contrasts, n_draws)[1]
    with_best = contrasts[:, names.index(best)] != 0
    equal = np.abs(contrasts[with_best & (corrected >= alpha)]).any(axis=0)
    tied = {name for name, is_tied in zip(names, equal, strict=True) if is_tied} - {best}
    design = sample.design
    counts = (design.n_trainings, design.n_folds) if design else (1, 1)
    return Verdict(best, frozenset(tied), sample.n_cases, "", *counts)
