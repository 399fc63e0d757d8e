"""Tests by resampling: sign flips of paired differences, and a step-down correction.

References: Fisher 1935, The Design of Experiments, section 21 (sign flips); Phipson & Smyth 2010
(the observed statistic is one of the draws); Westfall & Young 1993 and Romano & Wolf 2005
(step-down over the maximum).
"""

from functools import lru_cache

import numpy as np

DRAWS = 9999
NOISE = 1e-9  # relative; statistics nearer than this are equal


@lru_cache(maxsize=4)
def draw_signs(n_cases: int, n_draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return signs, 1 or -1, per draw and case: (draws, n_cases); the first row has no flip.

    All 2^(n - 1) patterns where these are not more than the draws: a pattern and its mirror image
    have equal absolute means. Else a sample from a fixed seed.
    """
    if 2 ** (n_cases - 1) <= n_draws + 1:
        patterns = np.arange(2 ** (n_cases - 1))
        flipped = (patterns[:, None] >> np.arange(n_cases)) & 1
    else:
        rng = np.random.default_rng(seed)
        flipped = rng.integers(0, 2, size=(n_draws + 1, n_cases), dtype=np.int8)
        flipped[0] = 0
    signs = 1.0 - 2.0 * flipped
    signs.setflags(write=False)
    return signs


def flip_signs(differences: np.ndarray, n_draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return |mean| / root mean square of each column under sign flips: (draws, columns).

    The ratio grows with Student's t. The first row is observed; all columns see the same flips. A
    column of zeros has zeros.

    Args:
        differences: (cases, columns) without nan.
        n_draws: the most flips to draw; for few cases all flips are used.
        seed: of the flips.
    """
    size = np.sqrt((differences**2).sum(axis=0))
    scaled = differences / np.where(size > 0, size, 1)
    return np.abs(draw_signs(len(differences), n_draws, seed) @ scaled)


def count_p(statistics: np.ndarray) -> np.ndarray:
    """Return the share of draws as large as the observed, which is the first row, per column."""
    return (statistics >= statistics[0] * (1 - NOISE)).mean(axis=0)


def step_down(statistics: np.ndarray) -> np.ndarray:
    """Return the p of each column corrected for all columns; the first row is observed.

    The chance that any true hypothesis has a p of ``alpha`` or less is ``alpha`` at the most. The
    largest statistic is compared with the draws' maximum over all columns, the second with that
    over the others, and so on.
    """
    order = np.argsort(-statistics[0], kind="stable")
    backwards = statistics[:, order[::-1]]
    maxima = np.maximum.accumulate(backwards, axis=1)[:, ::-1]
    least = statistics[0, order] * (1 - NOISE)
    corrected = np.maximum.accumulate((maxima >= least).mean(axis=0))
    found = np.empty_like(corrected)
    found[order] = corrected
    return found


def balance(statistics: np.ndarray, alpha: float) -> np.ndarray:
    """Return statistics in units of each column's quantile, so that none rules the maximum.

    The quantile is the one that Bonferroni's correction would compare with.
    """
    level = 1 - alpha / statistics.shape[1]
    units = np.quantile(statistics[1:], level, axis=0)
    return statistics / np.where(units > 0, units, 1)
