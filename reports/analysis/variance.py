"""How much scores vary between cases, folds and seeds, and how many trainings that asks for.

Estimates are by moments (analysis of variance); for equal counts they are those of a mixed model
by restricted maximum likelihood, where none is cut off at zero.

Reference: Searle, Casella & McCulloch 1992, Variance Components, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
import scipy

from reports.analysis.paired.intervals import ALPHA, root_of_variance, round_noise
from reports.analysis.paired.trainings import collect_blocks

POWER = 0.8
MOST_TRAININGS = 1000


@dataclass(frozen=True)
class Spread:
    """Standard deviations of one method's scores; nan where they cannot be told from others."""

    n_trainings: int
    case: float  # with one seed: with the residual
    fold: float  # with one seed: with the training; nan for one fold
    seed: float  # between trainings of a fold; nan for one seed
    residual: float  # of a training on a case beyond both; nan for one seed

    @property
    def training_variance(self) -> float:
        """The variance of a run's mean by its training alone."""
        known = [value**2 for value in (self.fold, self.seed) if not np.isnan(value)]
        return sum(known) if known else nan


def measure_spreads(runs: pd.DataFrame) -> dict[str, Spread]:
    """Return the spread of each method that has scores.

    Args:
        runs: index (fold, seed, case), a column per method.
    """
    shared = collect_blocks(runs)  # none if methods have other trainings
    found = {}
    for number, name in enumerate(runs.columns):
        blocks = [block[:, :, [number]] for block in shared]
        blocks = blocks or collect_blocks(runs[[name]].dropna())
        if blocks:
            found[str(name)] = _split([block[:, :, 0] for block in blocks])
    return found


def _split(blocks: Sequence[np.ndarray]) -> Spread:
    """Return the spread of the scores of each fold, (seeds, cases)."""
    n_seeds = np.array([len(block) for block in blocks])
    n_cases = np.array([block.shape[1] for block in blocks])
    seed_df = int((n_seeds - 1).sum())
    case_df = int((n_cases - 1).sum())
    seed = residual = np.float64(nan)
    if seed_df:
        rest = [block - block.mean(axis=1, keepdims=True) for block in blocks]
        residual = _pool(rest, int(((n_seeds - 1) * (n_cases - 1)).sum()))
        means = _pool([block.mean(axis=1) for block in blocks], seed_df)
        seed = means - residual * np.average(1 / n_cases, weights=n_seeds)
    known = np.nan_to_num(residual)
    case = _pool([block.mean(axis=0) for block in blocks], case_df)
    case -= known * np.average(1 / n_seeds, weights=n_cases)
    within = (np.nan_to_num(seed) + known / n_cases) / n_seeds + case / n_cases
    fold_means = np.array([block.mean() for block in blocks])
    fold = nan
    if len(blocks) > 1:
        fold = fold_means.var(ddof=1) - within.mean()
    scale = max(float(np.abs(block).max()) for block in blocks)
    roots = (_root(value, scale) for value in (case, fold, seed, residual))
    return Spread(int(n_seeds.sum()), *roots)


def _pool(parts: Sequence[np.ndarray], df: int) -> np.float64:
    """Return the sum of squares about the means over the first axis, over degrees of freedom."""
    squares = sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)
    return np.float64(squares / df if df else nan)


def _root(variance: float, scale: float) -> float:
    return root_of_variance(variance, scale) if variance == variance else nan


def measure_differences(runs: pd.DataFrame, method: str) -> Spread | None:
    """Return the spread of the paired differences to another method, averaged over these.

    What folds and cases have in common for both methods is not in it. None without another method.
    """
    others = [name for name in runs.columns if name != method]
    if method not in runs or not others:
        return None
    differences = runs[others].sub(runs[method], axis="index")
    scale = float(np.nanmax(np.abs(runs.to_numpy(float)))) if len(runs) else 0.0
    differences[:] = round_noise(differences.to_numpy(float), scale)
    found = list(measure_spreads(differences).values())
    if not found:
        return None
    counts = [spread.n_trainings for spread in found]
    roots = []
    for name in ("case", "fold", "seed", "residual"):
        variances = [getattr(spread, name) ** 2 for spread in found]
        roots.append(float(np.sqrt(np.mean(variances))))
    return Spread(min(counts), *roots)


def count_trainings(differences: Spread, n_cases: int, step: float) -> int | None:
    """Return how many trainings of each of two methods show a difference of ``step``.

    The test is Student's, two-sided, at `ALPHA` and with `POWER`. None: not known, or more than
    `MOST_TRAININGS`, since cases alone differ by too much.

    Args:
        differences: of the two methods.
        n_cases: that both are scored on.
        step: the true difference of their means.
    """
    per_training = differences.training_variance
    if n_cases < 2 or np.isnan(per_training):
        return None
    per_training += float(np.nan_to_num(differences.residual)) ** 2 / n_cases
    by_cases = differences.case**2 / n_cases
    for count in range(2, MOST_TRAININGS + 1):
        training = per_training / count
        variance = training + by_cases
        if variance == 0:
            return count
        uncertain = training**2 / (2 * (count - 1)) + by_cases**2 / (n_cases - 1)
        df = variance**2 / uncertain
        least = scipy.stats.t.isf(ALPHA / 2, df)
        if scipy.stats.nct.sf(least, df, step / sqrt(variance)) >= POWER:
            return count
    return None
