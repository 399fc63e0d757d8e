"""Differences of methods' means: estimates, and draws that test several of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from reports.analysis.paired.intervals import ALPHA, Estimate, estimate_mean, round_noise
from reports.analysis.paired.resampling import DRAWS, Draws, balance, find_p_values, flip_signs
from reports.analysis.paired.trainings import Design, find_design


@dataclass(frozen=True)
class Sample:
    """The scores of methods on the cases that all have, and their trainings if these count."""

    scores: pd.DataFrame  # (cases x methods), seeds averaged, nothing undefined
    design: Design | None  # None: only differences between cases are known

    @staticmethod
    def of(scores: pd.DataFrame, runs: pd.DataFrame | None = None) -> Sample:
        """Return the sample of those methods that are defined on any case.

        Args:
            scores: (cases x methods), seeds averaged.
            runs: the same by training: index (fold, seed, case), a column per method.
        """
        defined = scores.dropna(axis="columns", how="all")
        common = defined.dropna()
        if runs is None or common.empty:
            return Sample(common, None)
        kept = runs.index.get_level_values("case").isin(common.index)
        return Sample(common, find_design(runs.loc[kept, list(common.columns)]))

    @property
    def n_cases(self) -> int:
        return len(self.scores)

    @property
    def n_trainings(self) -> int:
        return self.design.n_trainings if self.design else 1

    def contrast(self, method: str, reference: str = "") -> np.ndarray:
        """Return the weights of the methods in the mean of one, or in its difference to another."""
        names = self.scores.columns
        weights = np.asarray(names == method, float)
        return weights - np.asarray(names == reference, float)

    def estimate(self, contrast: np.ndarray) -> Estimate:
        """Return the estimate of a weighted sum of the methods' means."""
        if self.design:
            return self.design.estimate(contrast)
        return estimate_mean(self._weigh_cases(contrast[None])[:, 0])

    def test(self, contrasts: np.ndarray, n_draws: int = DRAWS) -> tuple[np.ndarray, np.ndarray]:
        """Return the p of each contrast, alone and corrected step-down for all of them.

        With a design the estimate over its standard error is compared with draws of equal methods,
        else the mean over cases with its sign flips.
        """
        if self.design is None:
            return find_p_values(flip_signs(self._weigh_cases(contrasts), n_draws))
        observed = np.array([_studentise(self.estimate(contrast)) for contrast in contrasts])
        draw = self.design.prepare(contrasts, n_draws)
        return find_p_values(balance(Draws(observed, n_draws, draw), ALPHA))

    def _weigh_cases(self, contrasts: np.ndarray) -> np.ndarray:
        values = self.scores.to_numpy(float)
        return round_noise(values @ contrasts.T, float(np.abs(values).max(initial=0.0)))


def list_pairs(n_methods: int) -> np.ndarray:
    """Return a contrast per pair of methods, the first minus the second: (pairs, methods)."""
    pairs = list(combinations(range(n_methods), 2))
    contrasts = np.zeros((len(pairs), n_methods))
    for row, (first, second) in enumerate(pairs):
        contrasts[row, first] = 1
        contrasts[row, second] = -1
    return contrasts


def _studentise(estimate: Estimate) -> float:
    if estimate.standard_error == 0:
        return np.inf if estimate.value else 0.0
    return abs(estimate.value) / estimate.standard_error
