"""Intervals against SciPy's, and what is refused or marked."""

from math import nan

import numpy as np
import pytest
from scipy import stats

from reports.analysis.paired.intervals import Estimate, Interval, estimate_mean, subtract

SYMMETRIC = np.concatenate([np.arange(1.0, 11), -np.arange(1.0, 11)]) + 3


def test_without_skewness_the_interval_is_students() -> None:
    estimate = estimate_mean(SYMMETRIC)
    expected = stats.ttest_1samp(SYMMETRIC, 0)
    assert estimate.skewness == pytest.approx(0, abs=1e-12)
    assert estimate.p_value() == pytest.approx(expected.pvalue)
    interval = estimate.interval(0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval(0.9)))


def test_the_skewness_of_a_mean_is_that_of_the_values_over_the_root_of_n() -> None:
    values = np.random.default_rng(0).gamma(2, size=40)
    assert estimate_mean(values).skewness == pytest.approx(stats.skew(values) / np.sqrt(40))
    interval = estimate_mean(values).interval()
    assert interval.high - values.mean() > values.mean() - interval.low  # the long tail is above


@pytest.mark.parametrize("skewness", [-0.6, -0.1, 0.0, 0.3])
def test_the_ends_of_an_interval_have_the_p_of_its_level(skewness: float) -> None:
    estimate = Estimate(1.0, 0.5, 7.5, 20, 3, skewness)
    interval = estimate.interval()
    assert estimate.p_value(interval.low) == pytest.approx(0.05)
    assert estimate.p_value(interval.high) == pytest.approx(0.05)
    assert estimate.p_above(interval.low) == pytest.approx(0.025)
    assert estimate.p_above(interval.high) == pytest.approx(0.975)


def test_few_cases_have_no_interval_or_a_rough_one() -> None:
    rng = np.random.default_rng(1)
    assert np.isnan(estimate_mean(rng.normal(size=4)).interval().low)
    assert estimate_mean(rng.normal(size=15)).interval().rough
    assert not estimate_mean(rng.normal(size=16)).interval().rough
    assert estimate_mean(np.array([2.0, nan])) == Estimate(
        2.0, *[pytest.approx(nan, nan_ok=True)] * 2, 1
    )


def test_equal_values_have_no_error() -> None:
    base = np.random.default_rng(2).uniform(0.1, 0.9, size=20)
    noisy = (base + 0.05) - base
    assert np.ptp(noisy) > 0
    estimate = estimate_mean(noisy)
    assert estimate.standard_error == 0
    assert estimate.interval() == Interval(estimate.value, estimate.value, estimate.value)
    assert (estimate.p_above(0.04), estimate.p_above(0.06), estimate.p_value(0.04)) == (0, 1, 0)
    assert estimate_mean(np.zeros(9)).p_value() == 1


def test_differences_that_are_equal_in_decimals_are_equal() -> None:
    first = np.array([0.8, 0.7, 300.3])
    assert len(set(subtract(first + 0.1, first))) == 1
    assert not subtract(np.full(3, 0.1 * 3), np.full(3, 0.3)).any()
    assert subtract(np.array([1e-9]), np.array([0.0])) == 1e-9
    assert np.isnan(subtract(np.array([nan]), np.array([1.0]))).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "draw", "truth"),
    [
        ("normal", lambda rng, n: rng.normal(size=n), 0),
        ("gamma", lambda rng, n: rng.gamma(4, 0.5, size=n), 2),
        ("beta", lambda rng, n: rng.beta(8, 2, size=n), 0.8),
        ("very skew beta", lambda rng, n: rng.beta(4, 1, size=n), 0.8),
        (
            "two clusters",
            lambda rng, n: rng.choice([0.3, 0.85], size=n) + rng.normal(0, 0.05, n),
            0.575,
        ),
    ],
)
@pytest.mark.parametrize("n", [16, 40])
def test_intervals_cover_a_known_mean(name: str, draw, truth: float, n: int) -> None:
    """Of 2,000 samples; the covered share has a standard error of 0.5 %."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        interval = estimate_mean(draw(rng, n)).interval()
        hits += interval.low <= truth <= interval.high
    print(f"\n{name}, {n} cases: {hits / 20:.1f} % of intervals cover the mean")  # noqa: T201
    assert 93 <= hits / 20 <= 97.2
