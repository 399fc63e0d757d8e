"""Ranks against published worked examples and the textbook's formulas."""

from itertools import combinations
from math import inf, sqrt

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from reports.analysis.paired.intervals import Interval
from reports.analysis.ranks import friedman_nemenyi, mean_ranks, nemenyi_difference, rank_intervals
from reports.analysis.statistics import TooFewError
from tests.reports.analysis.test_statistics import RTOL, made_scores

# Demsar 2006, table 6: ranks of C4.5 and its variants by AUC on 14 data sets.
DEMSAR_NAMES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
DEMSAR_RANKS = [
    (4, 3, 2, 1),
    (1, 2, 3, 4),
    (4, 1, 2, 3),
    (4, 1, 3, 2),
    (4, 2, 3, 1),
    (1, 2.5, 4, 2.5),
    (3, 2, 4, 1),
    (2.5, 2.5, 4, 1),
    (4, 3, 2, 1),
    (2.5, 2.5, 2.5, 2.5),
    (4, 2.5, 1, 2.5),
    (3, 2, 4, 1),
    (4, 1, 2, 3),
    (3, 1, 4, 2),
]
DEMSAR = pd.DataFrame(-np.array(DEMSAR_RANKS), columns=DEMSAR_NAMES)  # rank 1 is the largest score


def test_friedman_and_nemenyi_on_demsars_example() -> None:
    found = friedman_nemenyi(DEMSAR)
    assert found.n_blocks == 14
    assert list(found.mean_ranks.values()) == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert nemenyi_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=5e-3)
    counts = [np.unique(row, return_counts=True)[1] for row in DEMSAR_RANKS]
    ties = sum(int((count**3 - count).sum()) for count in counts) / (14 * (4**3 - 4))
    chi2 = found.chi2 * (1 - ties)  # the paper's formula does not correct for ties
    assert chi2 == pytest.approx(9.28, abs=5e-3)
    assert 13 * chi2 / (14 * 3 - chi2) == pytest.approx(3.69, abs=5e-3)
    assert found.f == pytest.approx(13 * found.chi2 / (14 * 3 - found.chi2))
    assert found.cliques == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]


def test_nemenyi_against_demsars_table_of_q() -> None:
    table = {
        2: 1.960,
        3: 2.343,
        4: 2.569,
        5: 2.728,
        6: 2.850,
        7: 2.949,
        8: 3.031,
        9: 3.102,
        10: 3.164,
    }
    for k, q in table.items():
        assert nemenyi_difference(k, 1) / sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=1.1e-3)


def test_friedman_against_the_textbook_formula() -> None:
    scores = pd.DataFrame(np.random.default_rng(3).normal(size=(25, 5)), columns=list("abcde"))
    n, k = scores.shape
    ranks = scores.rank(axis=1, ascending=False)
    chi2 = 12 * n / (k * (k + 1)) * (ranks.mean() ** 2).sum() - 3 * n * (k + 1)
    found = friedman_nemenyi(scores)
    assert found.chi2 == pytest.approx(chi2, rel=RTOL)
    assert found.p == pytest.approx(stats.chi2.sf(chi2, k - 1), rel=RTOL)
    assert mean_ranks(scores).to_dict() == pytest.approx(ranks.mean().to_dict())


def test_cliques_are_the_largest_groups_within_reach() -> None:
    scores = pd.DataFrame(
        {"a": [9.0] * 30, "b": [8.0, 7.0] * 15, "c": [7.0, 8.0] * 15, "d": [1.0] * 30}
    )
    found = friedman_nemenyi(scores)
    assert found.critical_difference == pytest.approx(0.8563, abs=1e-4)
    assert found.cliques == [("b", "c")]


def test_perfect_agreement_has_an_infinite_f() -> None:
    ordered = pd.DataFrame(
        {"a": np.arange(9) + 2.0, "b": np.arange(9) + 1.0, "c": np.arange(9) + 0.0}
    )
    found = friedman_nemenyi(ordered)
    assert (found.chi2, found.f, found.p_f) == (18, inf, 0)


@pytest.mark.parametrize("seed", range(3))
def test_friedman_and_nemenyi_are_scipys_and_scikit_posthocs(seed: int) -> None:
    scores = pd.DataFrame(np.random.default_rng(seed).integers(0, 6, size=(20, 4)).astype(float))
    found = friedman_nemenyi(scores)
    expected = stats.friedmanchisquare(*scores.to_numpy().T)
    assert (found.chi2, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    posthoc = scikit_posthocs.posthoc_nemenyi_friedman(scores)
    ranks = list(found.mean_ranks.values())
    for first, second in combinations(range(4), 2):
        differs = abs(ranks[first] - ranks[second]) > found.critical_difference
        assert differs == (posthoc.iloc[first, second] < 0.05)
    q = abs(ranks[0] - ranks[1]) / nemenyi_difference(4, 20)
    q *= stats.studentized_range.ppf(0.95, 4, inf)
    assert posthoc.iloc[0, 1] == pytest.approx(stats.studentized_range.sf(q, 4, inf), abs=1e-4)


def test_noise_of_rounding_is_no_rank() -> None:
    scores = pd.DataFrame({"a": np.full(9, 0.1 * 3), "b": np.full(9, 0.3), "c": np.full(9, 0.3)})
    assert (scores["a"] > scores["b"]).all()
    assert mean_ranks(scores).tolist() == [2, 2, 2]
    assert friedman_nemenyi(scores).p == 1
    assert {interval.value for interval in rank_intervals(scores).values()} == {2}


def test_rank_intervals() -> None:
    ranks = rank_intervals(made_scores())
    assert ranks["more"] == Interval(1, 1, 1)
    assert (ranks["base"].low, ranks["base"].high) == (2, 3)
    assert rank_intervals(made_scores(), largest_first=False)["more"].value == 3
    assert rank_intervals(made_scores()) == ranks  # drawn from a fixed seed
    assert rank_intervals(made_scores(n=12))["more"].rough
    assert rank_intervals(made_scores()[["base"]]) == {"base": Interval(1, 1, 1)}


def test_rank_intervals_know_that_trainings_differ() -> None:
    scores = made_scores()
    levels = [[0], range(3), scores.index]
    index = pd.MultiIndex.from_product(levels, names=["fold", "seed", "case"])
    shift = np.repeat([-0.2, 0.0, 0.2], len(scores))[:, None] * np.array([1, -1, 1])
    runs = pd.DataFrame(np.tile(scores, (3, 1)) + shift, index, scores.columns)
    assert rank_intervals(scores, runs)["more"] == Interval(1, 1, 3)


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(TooFewError, match="of 3 methods must have 3 blocks at least, got 2"):
        friedman_nemenyi(made_scores(n=2))
    with pytest.raises(TooFewError, match="three methods"):
        friedman_nemenyi(made_scores()[["base", "more"]])
    with pytest.raises(TooFewError, match="5 cases at least, got 4"):
        rank_intervals(made_scores(n=4))


def test_nothing_differs_anywhere() -> None:
    equal = pd.DataFrame(dict.fromkeys("abc", [0.5] * 9))
    assert (friedman_nemenyi(equal).chi2, friedman_nemenyi(equal).p) == (0, 1)
    assert {interval.value for interval in rank_intervals(equal).values()} == {2}
