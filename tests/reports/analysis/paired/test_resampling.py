"""Sign flips against SciPy, the step-down correction against its definition."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from reports.analysis.paired import resampling
from reports.analysis.paired.contrasts import Sample, list_pairs
from reports.analysis.paired.resampling import (
    Draws,
    balance,
    draw_flips,
    find_p_values,
    flip_signs,
    unpack_flips,
)


def p_alone(differences: np.ndarray) -> np.ndarray:
    """Return the p of each column of differences, (cases, columns)."""
    return find_p_values(flip_signs(differences))[0]


@pytest.mark.parametrize("seed", range(4))
def test_p_of_few_cases_is_that_of_scipys_enumeration(seed: int) -> None:
    first, second = np.random.default_rng(seed).normal(0.4, 1, size=(2, 11))

    def mean_difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one - other, axis=axis)

    expected = stats.permutation_test(
        (first, second), mean_difference, permutation_type="samples", n_resamples=np.inf
    )
    assert p_alone((first - second)[:, None]) == pytest.approx(expected.pvalue)


def test_p_of_many_cases_is_near_scipys() -> None:
    values = np.random.default_rng(3).normal(0.3, 1, size=60)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0
    )
    found = p_alone(values[:, None]).item()
    assert found == pytest.approx(expected.pvalue, abs=4 * np.sqrt(expected.pvalue / 6_000))
    assert found == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.25)
    assert p_alone(values[:, None] + 9).item() == 1 / 10_000  # (0 + 1) / (9,999 + 1)


def test_all_flips_of_few_cases_are_used() -> None:
    flips = np.vstack([np.zeros(5), unpack_flips(draw_flips(5), 5)])  # with the observed one
    both = np.concatenate([flips, 1 - flips])
    assert len(np.unique(both, axis=0)) == len(both) == 2**5
    assert unpack_flips(draw_flips(14), 14).shape == (2**13 - 1, 14)
    assert unpack_flips(draw_flips(15), 15).shape == (9_999, 15)


def test_differences_of_zero_and_ties_are_no_evidence() -> None:
    assert p_alone(np.zeros((8, 2))).tolist() == [1, 1]
    equal = np.full((8, 1), 0.3)
    assert p_alone(equal).item() == 2 / 2**8


def brute_force(statistics: np.ndarray) -> np.ndarray:
    """Westfall & Young 1993, algorithm 4.1, in loops."""
    order = sorted(range(statistics.shape[1]), key=lambda column: -statistics[0, column])
    corrected = np.zeros(len(order))
    before = 0.0
    for place, column in enumerate(order):
        exceeded = 0
        for row in statistics:
            exceeded += max(row[other] for other in order[place:]) >= statistics[0, column]
        before = max(before, exceeded / len(statistics))
        corrected[column] = before
    return corrected


@pytest.mark.parametrize("seed", range(3))
def test_step_down_is_the_algorithm_of_westfall_and_young(seed: int) -> None:
    rng = np.random.default_rng(seed)
    statistics = np.abs(rng.normal(size=(200, 5)))
    statistics[0] *= 2
    alone, corrected = find_p_values(Draws.keep(statistics[0], statistics[1:].T))
    assert alone == pytest.approx((statistics >= statistics[0]).mean(axis=0))
    assert corrected == pytest.approx(brute_force(statistics))
    assert (corrected >= alone).all()
    assert corrected.min() <= 5 * alone.min() + 1e-12  # never beyond Bonferroni


@pytest.mark.parametrize("n_cases", [12, 40])
def test_blocks_make_no_difference(n_cases: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(0.2, 1, size=(n_cases, 7))

    def resample() -> list[np.ndarray]:
        draw_flips.cache_clear()
        draws = flip_signs(values)
        return [*find_p_values(draws), *find_p_values(balance(draws, 0.05))]

    whole = resample()
    monkeypatch.setattr(resampling, "BLOCK", 20_000)  # two columns of draws, some hundred draws
    for found, expected in zip(resample(), whole, strict=True):
        assert found.tolist() == expected.tolist()


def test_thousands_of_cases_and_pairs_take_little_memory() -> None:
    """All signs of 10,000 cases are 800 MB, the draws of all pairs of 80 methods 250 MB."""
    tracemalloc.start()
    try:
        rng = np.random.default_rng(0)
        p_alone(rng.normal(size=(10_000, 3)))
        p_alone(rng.normal(size=(20, 80 * 79 // 2)))
        peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak_mib < 100


def test_a_comparison_that_is_made_twice_costs_nothing() -> None:
    values = np.random.default_rng(5).normal(0.6, 1, size=(12, 1))
    once = find_p_values(flip_signs(values))[1]
    repeated = find_p_values(flip_signs(np.repeat(values, 4, axis=1)))[1]
    assert repeated.tolist() == [once.item()] * 4


def test_balance_gives_columns_of_other_tails_the_same_chance() -> None:
    rng = np.random.default_rng(0)
    tails = np.abs([rng.normal(size=9_000), rng.standard_t(2, size=9_000)])
    balanced = balance(Draws.keep(np.ones(2), tails), 0.05)
    shares = (balanced.draw(np.arange(2)) > 1).mean(axis=1)
    assert shares == pytest.approx([0.025, 0.025], abs=1e-3)
    zeros = balance(Draws.keep(np.zeros(2), np.zeros((2, 50))), 0.05)
    assert np.isfinite(zeros.draw(np.arange(2))).all()


def test_sixteen_methods_on_four_hundred_cases_take_seconds() -> None:
    import pandas as pd

    scores = pd.DataFrame(np.random.default_rng(0).uniform(size=(400, 16)))
    started = time.process_time()
    Sample(scores, None).test(list_pairs(16))
    assert time.process_time() - started < 5
