"""Estimates of means with their standard errors, and the intervals made of them.

References: Student 1908; Hall 1992, Journal of the Royal Statistical Society B 54:221-228 (the
correction for skewness, of which a part is used: docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, isnan, log10, nan, sqrt

import numpy as np
from scipy import special

ALPHA = 0.05
LEAST_FOR_INTERVAL = 5  # cases; below, there is no interval
LEAST_FOR_COVERAGE = 16  # cases; below, an interval is marked as rough
# With none of the skewness intervals of skewed scores cover too rarely at 16 cases, with all of it
# those of scores in two clusters nearly always; chosen by simulation, in
# benchmarks/reports/statistics.py.
SKEWNESS_SHARE = 0.4
LEAST_VARIANCE = 1e-15  # of numbers near 1; what is below is noise of rounding
SIGNIFICANT_DIGITS = 12  # of float64's 15; what differs beyond is noise of rounding


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; nan where it could not be computed."""

    value: float
    low: float
    high: float
    rough: bool = False  # of fewer than `LEAST_FOR_COVERAGE` cases


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two means, over cases and trainings."""

    value: float
    standard_error: float  # nan below two cases; 0 where all values are equal
    df: float  # degrees of freedom of the standard error
    n_cases: int
    n_trainings: int = 1  # per method; 1: differences between trainings are not in the error
    skewness: float = 0.0  # of the estimate, not of the cases

    def interval(self, level: float = 1 - ALPHA) -> Interval:
        """Return the two-sided interval; nan limits below `LEAST_FOR_INTERVAL` cases."""
        rough = self.n_cases < LEAST_FOR_COVERAGE
        if self.n_cases < LEAST_FOR_INTERVAL or isnan(self.standard_error):
            return Interval(self.value, nan, nan, rough)
        t = float(special.stdtrit(self.df, (1 + level) / 2))  # Student's quantile
        low = self.value - self.standard_error * self._from_t(t)
        high = self.value - self.standard_error * self._from_t(-t)
        return Interval(self.value, low, high, rough)

    def p_value(self, tested: float = 0.0) -> float:
        """Return the two-sided p of the hypothesis that the true value is ``tested``."""
        above = self.p_above(tested)
        return 2 * min(above, 1 - above)

    def p_above(self, bound: float) -> float:
        """Return the one-sided p of the claim that the true value is above ``bound``.

        Nan without a standard error. It is small where the estimate is far above the bound.
        """
        if isnan(self.standard_error):
            return nan
        distance = self.value - bound
        if self.standard_error == 0:
            return 0.5 - 0.5 * float(np.sign(distance))
        return float(special.stdtr(self.df, -self._to_t(distance / self.standard_error)))

    def _to_t(self, ratio: float) -> float:
        """Return Student's t of (estimate - truth) / error, corrected for skewness."""
        a = SKEWNESS_SHARE * self.skewness / 3
        if abs(a) < 1e-9:
            return ratio
        return ((1 + a * ratio) ** 3 - 1) / (3 * a) + a / 2

    def _from_t(self, t: float) -> float:
        """Return the inverse of `_to_t`."""
        a = SKEWNESS_SHARE * self.skewness / 3
        if abs(a) < 1e-9:
            return t
        return float(np.cbrt(1 + 3 * a * (t - a / 2)) - 1) / a


def estimate_mean(values: np.ndarray) -> Estimate:
    """Return the mean over cases, such as paired differences of one training; nan are left out."""
    kept = values[~np.isnan(values)]
    n = kept.size
    if n < 2:
        return Estimate(float(kept[0]) if n else nan, nan, nan, n)
    mean = float(kept.mean())
    centred = round_noise(kept - mean, float(np.abs(kept).max()))
    variance = float(centred @ centred) / (n - 1)
    return Estimate(mean, sqrt(variance / n), n - 1, n, 1, skewness_of_mean(centred))


def skewness_of_mean(centred: np.ndarray) -> float:
    """Return the skewness of the mean of values that are given without their mean."""
    spread = float(np.mean(centred**2))
    if spread == 0:
        return 0.0
    return float(np.mean(centred**3)) / spread**1.5 / sqrt(centred.size)


def round_noise(values: np.ndarray, scale: float) -> np.ndarray:
    """Return the values without noise of rounding: to 12 digits of numbers as large as ``scale``.

    So differences that should be equal, or zero, are.
    """
    if scale == 0 or not isfinite(scale):
        return values
    return np.round(values, SIGNIFICANT_DIGITS - 1 - floor(log10(scale))) + 0.0  # no -0


def root_of_variance(variance: float, scale: float) -> float:
    """Return a standard deviation of values as large as ``scale``; 0 where it is noise of rounding.

    Variances are differences of sums of squares, which keep half as many digits.
    """
    return sqrt(variance) if variance > LEAST_VARIANCE * scale**2 else 0.0


def subtract(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return first - second without noise of rounding, so that equal differences are equal."""
    known = np.abs(np.concatenate([np.ravel(first), np.ravel(second)]))
    scale = float(np.nanmax(known)) if np.isfinite(known).any() else 0.0
    return round_noise(first - second, scale)
