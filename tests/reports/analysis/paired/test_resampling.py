"""Sign flips against SciPy, the step-down correction against its definition."""

import time

import numpy as np
import pytest
from scipy import stats

from reports.analysis.paired.contrasts import Sample, list_pairs
from reports.analysis.paired.resampling import balance, count_p, draw_signs, flip_signs, step_down


@pytest.mark.parametrize("seed", range(4))
def test_p_of_few_cases_is_that_of_scipys_enumeration(seed: int) -> None:
    first, second = np.random.default_rng(seed).normal(0.4, 1, size=(2, 11))

    def mean_difference(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one - other, axis=axis)

    expected = stats.permutation_test(
        (first, second), mean_difference, permutation_type="samples", n_resamples=np.inf
    )
    assert count_p(flip_signs((first - second)[:, None])) == pytest.approx(expected.pvalue)


def test_p_of_many_cases_is_near_scipys() -> None:
    values = np.random.default_rng(3).normal(0.3, 1, size=60)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0
    )
    found = count_p(flip_signs(values[:, None])).item()
    assert found == pytest.approx(expected.pvalue, abs=4 * np.sqrt(expected.pvalue / 6_000))
    assert found == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.25)
    assert count_p(flip_signs(values[:, None] + 9)).item() == 1 / 10_000  # (0 + 1) / (9,999 + 1)


def test_all_flips_of_few_cases_are_used() -> None:
    signs = draw_signs(5)
    both = np.concatenate([signs, -signs])
    assert len(np.unique(both, axis=0)) == len(both) == 2**5
    assert (signs[0] == 1).all()
    assert draw_signs(14).shape == (2**13, 14)
    assert draw_signs(15).shape == (10_000, 15)


def test_differences_of_zero_and_ties_are_no_evidence() -> None:
    assert count_p(flip_signs(np.zeros((8, 2)))).tolist() == [1, 1]
    equal = np.full((8, 1), 0.3)
    assert count_p(flip_signs(equal)).item() == 2 / 2**8


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
    assert step_down(statistics) == pytest.approx(brute_force(statistics))
    alone = count_p(statistics)
    assert (step_down(statistics) >= alone).all()
    assert step_down(statistics).min() <= 5 * alone.min() + 1e-12  # never beyond Bonferroni


def test_a_comparison_that_is_made_twice_costs_nothing() -> None:
    values = np.random.default_rng(5).normal(0.6, 1, size=(12, 1))
    once = step_down(flip_signs(values))
    assert step_down(flip_signs(np.repeat(values, 4, axis=1))).tolist() == [once.item()] * 4


def test_balance_gives_columns_of_other_tails_the_same_chance() -> None:
    rng = np.random.default_rng(0)
    tails = np.abs(np.column_stack([rng.normal(size=9_000), rng.standard_t(2, size=9_000)]))
    shares = (balance(tails, 0.05) > 1).mean(axis=0)
    assert shares == pytest.approx([0.025, 0.025], abs=1e-3)
    assert np.isfinite(balance(np.zeros((50, 2)), 0.05)).all()


def test_sixteen_methods_on_four_hundred_cases_take_seconds() -> None:
    import pandas as pd

    scores = pd.DataFrame(np.random.default_rng(0).uniform(size=(400, 16)))
    started = time.process_time()
    Sample(scores, None).test(list_pairs(16))
    assert time.process_time() - started < 5
