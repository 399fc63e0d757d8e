"""Methods with one training in each of several folds: a fold is the unit.

Trainings and cases of a fold cannot be told apart, and need not be: the difference of two methods
in a fold has the variance of both. With equal folds the ratio of the mean difference to its
standard error is Student's t, however large the part of trainings in the variance is.

Reference: Nadeau & Bengio 2003, Machine Learning 52:239-281 (training sets of folds overlap, and
what they have in common is not in the variance).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from reports.analysis.paired.intervals import Estimate, round_noise
from reports.analysis.paired.resampling import DRAWS

LEAST_FOLDS = 3


@dataclass(frozen=True)
class FoldsDesign:
    """The methods' means in folds."""

    fold_means: np.ndarray  # (folds, methods)
    weights: np.ndarray  # (folds,) shares of the cases
    n_cases: int
    n_trainings: int

    @property
    def n_folds(self) -> int:
        return len(self.fold_means)

    @staticmethod
    def of(blocks: Sequence[np.ndarray]) -> FoldsDesign:
        """Return the means of the scores of each fold, (seeds, cases, methods)."""
        counts = np.array([block.shape[1] for block in blocks])
        fold_means = np.array([block.mean(axis=(0, 1)) for block in blocks])
        n_trainings = sum(map(len, blocks))
        return FoldsDesign(fold_means, counts / counts.sum(), int(counts.sum()), n_trainings)

    def estimate(self, contrast: np.ndarray) -> Estimate:
        """Return the estimate of a weighted sum of the methods' means; weights are (methods,)."""
        by_fold = self.fold_means @ contrast
        value = float(self.weights @ by_fold)
        n = len(by_fold)
        squares = float(((self.weights * (by_fold - value)) ** 2).sum())
        error = (squares * n / (n - 1)) ** 0.5
        scale = float(np.abs(self.fold_means).max())
        value, error = map(float, round_noise(np.array([value, error]), scale))
        return Estimate(value, error, n - 1, self.n_cases, self.n_trainings)

    def prepare(
        self, contrasts: np.ndarray, n_draws: int = DRAWS, seed: int = 0
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the ``draw`` of `Draws`: |estimate| / standard error for equal methods.

        The means of folds are normal. Their variance, equal for all methods, decides only how the
        ratios of different pairs depend on each other.
        """
        rng = np.random.default_rng(seed)
        n_folds, n_methods = self.fold_means.shape
        drawn = rng.normal(size=(n_draws, n_folds, n_methods))
        means = drawn.mean(axis=1)
        centred = np.ascontiguousarray((drawn - means[:, None]).transpose(1, 2, 0))
        means = np.ascontiguousarray(means.T)  # (methods, draws)

        def draw(numbers: np.ndarray) -> np.ndarray:
            weights = csr_array(contrasts[numbers])  # of two methods each
            variance = sum((weights @ of_fold) ** 2 for of_fold in centred)
            return np.abs(weights @ means) / np.sqrt(variance / (n_folds * (n_folds - 1)))

        return draw
