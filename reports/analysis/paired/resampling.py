"""Tests by resampling: sign flips of paired differences, and a step-down correction.

Draws are made and compared in blocks, so that many cases and many hypotheses need little memory.

References: Fisher 1935, The Design of Experiments, section 21 (sign flips); Phipson & Smyth 2010
(the observed statistic is one of the draws); Westfall & Young 1993 and Romano & Wolf 2005
(step-down over the maximum).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits

DRAWS = 9999
NOISE = 1e-9  # relative; statistics nearer than this are equal
BLOCK = 2**20  # numbers that are in memory together


@dataclass(frozen=True)
class Draws:
    """The statistics of several hypotheses, observed and drawn as if all were true.

    Attributes:
        observed: (hypotheses,); it counts as one more draw.
        n_draws: how many there are beside the observed one.
        draw: returns (hypotheses, draws) for the numbers of some hypotheses.
    """

    observed: np.ndarray
    n_draws: int
    draw: Callable[[np.ndarray], np.ndarray]

    @staticmethod
    def keep(observed: np.ndarray, drawn: np.ndarray) -> Draws:
        """Return draws that are in memory, (hypotheses, draws)."""
        return Draws(observed, drawn.shape[1], lambda numbers: drawn[numbers])

    def split(self, order: np.ndarray) -> list[np.ndarray]:
        """Return the numbers of hypotheses in blocks whose draws fit into memory."""
        width = max(1, BLOCK // max(1, self.n_draws))
        return [order[start : start + width] for start in range(0, len(order), width)]

    def share_as_large(self, drawn: np.ndarray, number: int) -> float:
        """Return the share of draws as large as the observed of a hypothesis, which is one more."""
        n_as_large = np.count_nonzero(drawn >= self.observed[number] * (1 - NOISE))
        return (1 + n_as_large) / (1 + self.n_draws)


def iter_slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield the blocks of the rows of a large array; all but the last have a multiple of 4 rows.

    A generator makes four small numbers at once, so that such blocks share one stream of them.
    """
    height = max(4, BLOCK // max(1, n_columns) // 4 * 4)
    for start in range(0, n_rows, height):
        yield slice(start, min(start + height, n_rows))


@lru_cache(maxsize=4)
def draw_flips(n_cases: int, n_draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return which signs each draw flips, as bits of (draws, cases); `unpack_flips` reads them.

    All patterns but the one without a flip where these are not more than the draws: 2^(n - 1), as
    a pattern and its mirror image have equal absolute means. Else a sample from a fixed seed.
    """
    if 2 ** (n_cases - 1) <= n_draws + 1:
        patterns = np.arange(1, 2 ** (n_cases - 1))
        flipped = ((patterns[:, None] >> np.arange(n_cases)) & 1).astype(np.uint8)
        packed = np.packbits(flipped, axis=1)
    else:
        packed = pack_random(np.random.default_rng(seed), n_draws + 1, n_cases)[1:]
    packed.setflags(write=False)
    return packed


def pack_random(rng: np.random.Generator, n_draws: int, n_cases: int) -> np.ndarray:
    """Return random bits of (draws, cases), packed by row; blocks make no difference to them."""
    blocks = []
    for rows in iter_slices(n_draws, n_cases):
        size = (rows.stop - rows.start, n_cases)
        blocks.append(np.packbits(rng.integers(0, 2, size, dtype=np.int8), axis=1))
    return np.concatenate(blocks)


def unpack_flips(packed: np.ndarray, n_cases: int) -> np.ndarray:
    """Return 1 where a sign is flipped, else 0: (draws, cases) of the bits of `draw_flips`."""
    return np.unpackbits(packed, axis=1, count=n_cases).astype(float)


def sum_flipped(values: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Return the sums of columns under sign flips: (columns, draws).

    Args:
        values: (cases, columns).
        packed: the bits of `draw_flips`.
    """
    n_cases, n_columns = values.shape
    sums = np.empty((n_columns, len(packed)))
    for rows in iter_slices(len(packed), n_cases):
        sums[:, rows] = (-2 * values.T) @ unpack_flips(packed[rows], n_cases).T
    sums += values.sum(axis=0)[:, None]
    return sums


def flip_signs(differences: np.ndarray, n_draws: int = DRAWS, seed: int = 0) -> Draws:
    """Return |mean| / root mean square of each column under sign flips.

    The ratio grows with Student's t. All columns see the same flips. A column of zeros has zeros.

    Args:
        differences: (cases, columns) without nan.
        n_draws: the most flips to draw; for few cases all flips are used.
        seed: of the flips.
    """
    size = np.sqrt((differences**2).sum(axis=0))
    scaled = differences / np.where(size > 0, size, 1)
    packed = draw_flips(len(differences), n_draws, seed)

    def draw(numbers: np.ndarray) -> np.ndarray:
        sums = sum_flipped(scaled[:, numbers], packed)
        return np.abs(sums, out=sums)

    return Draws(np.abs(scaled.sum(axis=0)), len(packed), draw)


def find_p_values(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return the p of each hypothesis alone, and corrected for all of them by steps down.

    The chance that any true hypothesis has a corrected p of ``alpha`` or less is ``alpha`` at the
    most. The largest statistic is compared with the draws' maximum over all hypotheses, the second
    with that over the others, and so on.
    """
    order = np.argsort(-draws.observed, kind="stable")
    alone = np.empty(len(order))
    stepped = np.empty(len(order))
    largest = np.zeros(draws.n_draws)  # of the hypotheses of smaller statistics
    with threadpool_limits(1):  # the products are small: threads would wait for each other
        for numbers in reversed(draws.split(order)):
            drawn = draws.draw(numbers)
            for number, of_one in zip(numbers[::-1], drawn[::-1], strict=True):
                alone[number] = draws.share_as_large(of_one, number)
                np.maximum(largest, of_one, out=largest)
                stepped[number] = draws.share_as_large(largest, number)
    corrected = np.empty_like(stepped)
    corrected[order] = np.maximum.accumulate(stepped[order])
    return alone, corrected


def balance(draws: Draws, alpha: float) -> Draws:
    """Return statistics in units of each hypothesis's quantile, so that none rules the maximum.

    The quantile is the one that Bonferroni's correction would compare with.
    """
    every = np.arange(len(draws.observed))
    level = 1 - alpha / len(every)
    blocks = draws.split(every)
    if len(blocks) == 1:
        drawn = draws.draw(every)
        unit = _find_units(drawn, level)
        return Draws.keep(draws.observed / unit, drawn / unit[:, None])
    unit = np.concatenate([_find_units(draws.draw(block), level) for block in blocks])

    def draw(numbers: np.ndarray) -> np.ndarray:
        return draws.draw(numbers) / unit[numbers, None]

    return Draws(draws.observed / unit, draws.n_draws, draw)


def _find_units(drawn: np.ndarray, level: float) -> np.ndarray:
    units = np.quantile(drawn, level, axis=1)
    return np.where(units > 0, units, 1)
