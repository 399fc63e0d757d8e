"""Methods with several trainings in a fold: trainings and cases are both a sample.

A score is mean + effect of the training + effect of the case + rest, each per method. The variance
of a method's mean is that of its trainings, estimated per method from the seeds within folds, plus
that of the cases, plus what folds differ by beyond both, pooled over methods. In the diagnostic
literature trainings are readers: several readers read the same cases.

References: Hillis 2007, Statistics in Medicine 26:596-619 (the part of the trainings always counts,
that of the cases where it is positive); Satterthwaite 1946 (degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.sparse import csr_array

from reports.analysis.paired.intervals import Estimate, root_of_variance, round_noise
from reports.analysis.paired.resampling import DRAWS, pack_random, sum_flipped

# With few trainings their variance is often underestimated by chance, and the tails of t with it.
# So its part in the whole variance is taken from an upper confidence limit. The levels are chosen
# by simulation (benchmarks/reports/statistics.py): of false alarms, and of the intervals' coverage.
UPPER_FOR_TESTS = 0.85
UPPER_FOR_INTERVALS = 0.5


@dataclass(frozen=True)
class SeedsDesign:
    """The variances of the methods' means."""

    means: np.ndarray  # (methods,) over cases, each averaged over its seeds
    n_trainings: int
    n_folds: int
    training: np.ndarray  # (methods,) variance of the mean by trainings
    training_df: int  # per method
    case: np.ndarray  # (methods, methods) covariance of the means by cases
    case_df: int
    effects: np.ndarray  # (cases, methods) averaged over seeds, minus the mean of the fold
    fold: float  # variance of a mean by folds beyond both
    fold_df: int

    @staticmethod
    def of(blocks: Sequence[np.ndarray]) -> SeedsDesign:
        """Return the variances of the scores of each fold, (seeds, cases, methods)."""
        n_seeds = np.array([len(block) for block in blocks])
        n_cases = np.array([block.shape[1] for block in blocks])
        weights = n_cases / n_cases.sum()
        fold_means = np.array([block.mean(axis=(0, 1)) for block in blocks])
        means = weights @ fold_means
        training_df = int((n_seeds - 1).sum())
        squares = sum((_centre(block.mean(axis=1)) ** 2).sum(axis=0) for block in blocks)
        training = squares / training_df * float((weights**2 / n_seeds).sum())
        effects = np.concatenate([_centre(block.mean(axis=0)) for block in blocks])
        case = _covary_cases(blocks, effects)
        fold = _excess_of_folds(fold_means - means, weights, case + np.diag(training))
        return SeedsDesign(
            means=means,
            n_trainings=int(n_seeds.sum()),
            n_folds=len(blocks),
            training=training,
            training_df=training_df,
            case=case,
            case_df=len(effects) - len(blocks),
            effects=effects,
            fold=fold,
            fold_df=(len(means) - 1) * (len(blocks) - 1),
        )

    def estimate(self, contrast: np.ndarray) -> Estimate:
        """Return the estimate of a weighted sum of the methods' means; weights are (methods,)."""
        weights = contrast**2
        case = max(0.0, float(contrast @ self.case @ contrast))
        fold = self.fold * float(weights.sum())
        variance = float(weights @ self.training) + case + fold
        parts = weights * self._upper_training(UPPER_FOR_INTERVALS)
        uncertain = float((parts**2).sum()) / self.training_df
        uncertain += case**2 / self.case_df + (fold**2 / self.fold_df if fold else 0)
        total = float(parts.sum()) + case + fold
        third = float(np.mean((self.effects @ contrast) ** 3)) / len(self.effects) ** 2
        scale = float(np.abs(self.means).max())
        error = root_of_variance(variance, scale)
        return Estimate(
            value=float(round_noise(contrast @ self.means, scale)),
            standard_error=error,
            df=total**2 / uncertain if uncertain else self.case_df,
            n_cases=len(self.effects),
            n_trainings=self.n_trainings,
            skewness=third / variance**1.5 if error else 0.0,
        )

    def prepare(
        self, contrasts: np.ndarray, n_draws: int = DRAWS, seed: int = 0
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the ``draw`` of `Draws`: |estimate| / standard error for equal methods.

        Effects of trainings and folds are normal with the estimated variances, which are estimated
        anew in each draw; effects of cases are the observed averages over seeds with signs flipped.
        These include the rest, so that to subtract it from the variance is no advantage by chance.
        """
        shape = (n_draws, *self.effects.shape)
        normal, training_share, fold_share, flips = _draw_standard(
            shape, self.training_df, max(1, self.fold_df), seed
        )
        training = self._upper_training(UPPER_FOR_TESTS)[:, None]
        training_part = training_share * training
        trained = normal * np.sqrt(training + self.fold)
        n_cases = len(self.effects)

        def draw(numbers: np.ndarray) -> np.ndarray:
            chosen = contrasts[numbers]
            weights = csr_array(chosen)  # of one or two methods each
            variance = weights**2 @ training_part
            variance += np.outer((chosen**2).sum(axis=1), self.fold * fold_share)
            effects = self.effects @ chosen.T
            size = np.sqrt((effects**2).sum(axis=0))
            flipped = sum_flipped(effects / np.where(size > 0, size, 1), flips)
            case = ((chosen @ self.case) * chosen).sum(axis=1).clip(0)[:, None]
            variance += case * (1 - flipped**2 / n_cases) * n_cases / (n_cases - 1)
            averages = size / np.sqrt(self.case_df * n_cases)
            distance = np.abs(weights @ trained + flipped * averages[:, None])
            return distance / np.sqrt(np.where(variance > 0, variance, np.inf))

        return draw

    def _upper_training(self, level: float) -> np.ndarray:
        quantile = special.chdtri(self.training_df, level)  # chi-square, from above
        lower = float(quantile) / self.training_df
        return np.maximum(self.training, self.training.mean()) / lower


@lru_cache(maxsize=2)  # the metrics and regions of a setting see the same draws
def _draw_standard(
    shape: tuple[int, int, int], training_df: int, fold_df: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return normal effects, shares of the variances of trainings and folds, flips of cases.

    ``shape`` is (draws, cases, methods). Effects and shares are (methods, draws), shares of folds
    (draws,); the shares are chi-square over degrees of freedom. Flips are packed by draw.
    """
    rng = np.random.default_rng(seed)
    n_draws, n_cases, n_methods = shape
    normal = rng.normal(size=(n_draws, n_methods))
    training = rng.chisquare(training_df, (n_draws, n_methods)) / training_df
    fold = rng.chisquare(fold_df, n_draws) / fold_df
    flips = pack_random(rng, n_draws, n_cases)
    return np.ascontiguousarray(normal.T), np.ascontiguousarray(training.T), fold, flips


def _centre(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0)


def _covary_cases(blocks: Sequence[np.ndarray], effects: np.ndarray) -> np.ndarray:
    """Return the covariance of the methods' means by cases.

    The averages of cases also vary by the rest, which the variance of trainings has already.
    """
    averages = effects.T @ effects / (len(effects) - len(blocks))
    rest = np.zeros_like(averages)
    rest_df = 0
    share = 0.0  # of the rest's variance in an average
    for block in blocks:
        inner = _centre(block - block.mean(axis=1, keepdims=True))
        rows = inner.reshape(-1, block.shape[2])
        rest += rows.T @ rows
        rest_df += (block.shape[0] - 1) * (block.shape[1] - 1)
        share += block.shape[1] / len(effects) / block.shape[0]
    values, vectors = np.linalg.eigh(averages - share * rest / rest_df)
    return (vectors * np.clip(values, 0, None)) @ vectors.T / len(effects)


def _excess_of_folds(deviations: np.ndarray, weights: np.ndarray, explained: np.ndarray) -> float:
    """Return the variance of a mean by folds beyond what is explained, pooled over all pairs."""
    n_folds, n_methods = deviations.shape
    if n_folds < 2 or n_methods < 2:
        return 0.0
    weighted = deviations * weights[:, None]
    excess = weighted.T @ weighted * n_folds / (n_folds - 1) - explained
    pooled = n_methods * excess.trace() - excess.sum()
    return max(0.0, float(pooled) / (n_methods * (n_methods - 1)))
