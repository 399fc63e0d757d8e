"""Statistics against cases by hand, published worked examples and implementations written anew."""

from dataclasses import replace
from itertools import product
from math import nan, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.analysis.comparison import compare_methods
from reports.analysis.statistics import (
    LEAST_CASES,
    TooFewError,
    Verdict,
    cohen_dz,
    compare_pairs,
    compare_with,
    find_ties,
    holm,
    rank_biserial,
    signed_rank_p,
)
from reports.records.run import CaseScore, RunResult

RTOL = 1e-9  # float64 sums of at most a thousand terms


def exact_p(differences: np.ndarray) -> float:
    """Wilcoxon's p by writing out all 2^n assignments of signs."""
    ranks = stats.rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    observed = abs(ranks[differences > 0].sum() - middle)
    sums = [np.dot(signs, ranks) for signs in product((0, 1), repeat=len(ranks))]
    return float(np.mean(np.abs(np.array(sums) - middle) >= observed - 1e-9))


def normal_p(differences: np.ndarray) -> float:
    """Wilcoxon's p by the normal approximation, corrected for ties, from the textbook formula."""
    n, ranks = len(differences), stats.rankdata(np.abs(differences))
    counts = np.unique(ranks, return_counts=True)[1]
    variance = n * (n + 1) * (2 * n + 1) / 24 - (counts**3 - counts).sum() / 48
    z = (ranks[differences > 0].sum() - n * (n + 1) / 4) / sqrt(variance)
    return float(2 * stats.norm.sf(abs(z)))


def test_signed_rank_by_hand() -> None:
    assert signed_rank_p(np.array([1, 2, 3, 4, 5, 6.0])) == pytest.approx(2 / 64)
    assert signed_rank_p(np.array([-1, 2, 3, 4, 5, 6.0])) == pytest.approx(
        4 / 64
    )  # sums 20 and 21, both tails
    assert signed_rank_p(np.array([0, 1, 2, 3, 4, 5, 6.0])) == pytest.approx(
        2 / 64
    )  # zeros are dropped
    assert signed_rank_p(np.zeros(9)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_against_other_implementations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0.3, 1, size=12)
    assert signed_rank_p(smooth) == pytest.approx(exact_p(smooth), rel=RTOL)
    tied = rng.integers(1, 5, size=11) * rng.choice([-1, 1], size=11)
    assert signed_rank_p(tied.astype(float)) == pytest.approx(exact_p(tied), rel=RTOL)
    many = rng.normal(0.2, 1, size=80).round(1)
    many = many[many != 0]
    assert signed_rank_p(many) == pytest.approx(normal_p(many), rel=RTOL)


def test_holm_on_published_examples() -> None:
    # Demsar 2006, section 3.2.2: 0.016 <= 0.05/3 and 0.019 <= 0.05/2 are rejected, 0.607 is not
    assert holm([0.607, 0.019, 0.016]) == pytest.approx([0.607, 0.048, 0.048])
    # Wikipedia, "Holm-Bonferroni method": only H1 and H4 fall at 0.05
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert (adjusted < 0.05).tolist() == [True, False, False, True]


@pytest.mark.parametrize("seed", range(3))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).uniform(size=9) ** 3
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_never_exceeds_one_and_skips_what_is_unknown() -> None:
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([0.01, nan, 0.02]) == pytest.approx([0.02, nan, 0.02], nan_ok=True)


def test_effect_sizes_by_hand() -> None:
    differences = np.array([4.0, 3.0, -1.0, 2.0, 0.0])  # ranks 4, 3, 1, 2; the zero is dropped
    assert rank_biserial(differences) == pytest.approx((9 - 1) / 10)
    assert rank_biserial(-differences) == pytest.approx(-0.8)
    assert rank_biserial(np.zeros(3)) == 0
    assert cohen_dz(np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)
    assert np.isnan(cohen_dz(np.ones(3)))


def made_scores(n: int = 30, shift: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """Three methods: 'same' and 'base' differ by noise, 'more' is better by ``shift``."""
    rng = np.random.default_rng(seed)
    case = rng.normal(0.7, 0.1, size=n)
    noise = rng.normal(0, 0.02, size=(3, n))
    return pd.DataFrame(
        {"base": case + noise[0], "same": case + noise[1], "more": case + shift + noise[2]}
    )


def test_comparison_with_a_reference() -> None:
    table = compare_with(made_scores(), "base").set_index("method")
    assert table.index.tolist() == ["same", "more"]
    assert table.loc["more", "p_wilcoxon_holm"] == pytest.approx(
        2 * table.loc["more", "p_wilcoxon"]
    )
    assert table.loc["more", "p_wilcoxon_holm"] < 1e-6
    assert table.loc["same", "p_wilcoxon_holm"] == table.loc["same", "p_wilcoxon"] > 0.05
    assert table.loc["more", "p"] == table.loc["more", "p_corrected"] == 1 / 10_000
    assert table.loc["same", "p"] == table.loc["same", "p_corrected"] > 0.05
    difference = table.loc["more", "difference"]
    assert difference.low < difference.value < difference.high
    assert table.loc["more", "rank_biserial"] > 0.9


def test_methods_are_compared_on_the_cases_that_all_have() -> None:
    scores = made_scores()
    scores.loc[:3, "same"] = nan
    assert compare_with(scores, "base").set_index("method")["n"].to_dict() == {
        "same": 26,
        "more": 26,
    }


def test_a_method_that_no_case_defines_leaves_the_others_compared() -> None:
    scores = made_scores().assign(nothing=nan)
    assert compare_with(scores, "base")["method"].tolist() == ["same", "more"]
    assert find_ties(scores) == find_ties(made_scores())
    nothing = find_ties(scores[["nothing"]])
    assert (nothing.tied, nothing.reason) == (frozenset(), "no method has a defined score")


def test_too_few_cases_are_said() -> None:
    assert LEAST_CASES == 6  # of 32 patterns of signs one is the observed: 0.031
    assert compare_with(made_scores(n=6), "base")["n"].tolist() == [6, 6]
    with pytest.raises(TooFewError, match="a comparison must have 6 cases at least, got 5"):
        compare_with(made_scores(n=5), "base")
    verdict = find_ties(made_scores(n=5))
    assert verdict.tied == frozenset()
    assert verdict.reason == "5 cases are too few to tell 3 methods apart; at least 6 are needed"
    with pytest.raises(TooFewError, match="must have two methods, got one"):
        compare_with(made_scores()[["base"]], "base")
    assert find_ties(made_scores()[["base"]]).reason == "there is only one method"
    few = made_scores(n=5)
    assert compare_pairs(few["base"], few["more"]).p is None


def test_noise_of_rounding_is_no_spread() -> None:
    """0.8 + 0.05 - 0.8 is not 0.05 in binary, and differs from 0.7 + 0.05 - 0.7."""
    base = pd.Series(np.linspace(0.1, 0.9, 30))
    assert np.ptp((base + 0.05) - base) > 0
    constant = compare_pairs(base, base + 0.05)
    assert np.isnan(constant.cohen_dz)
    assert constant.difference.low == constant.difference.high == pytest.approx(0.05)
    equal = compare_pairs(base, (base * 3 + base) / 4)
    assert (equal.p, equal.p_wilcoxon, equal.rank_biserial) == (1, 1, 0)
    mirrored = np.array([1, 1, 1, 1, -1, -1, -1]) * 0.1  # ranks are all tied
    noisy = compare_pairs(base[:7], base[:7] + mirrored)
    assert noisy.p_wilcoxon == signed_rank_p(np.sign(mirrored))
    assert noisy.rank_biserial == pytest.approx(1 / 7)


def test_unknown_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of base, same, more, got 'lora'"):
        compare_with(made_scores(), "lora")


def test_ties_with_the_best() -> None:
    scores = made_scores()
    assert find_ties(scores).best == "more"
    assert find_ties(scores).tied == frozenset()
    verdict = find_ties(scores, largest_first=False)
    assert {verdict.best, *verdict.tied} == {"base", "same"}


def test_nothing_differs_anywhere() -> None:
    equal = pd.DataFrame(dict.fromkeys("abc", [0.5] * 9))
    assert find_ties(equal).tied == {"b", "c"}


def make_store(
    run: RunResult, rng: np.random.Generator, shifts: dict[str, float], n_cases: int = 30
) -> list[RunResult]:
    """Runs of two folds and two seeds with a common difficulty per case, and a shift per method."""
    hard = rng.uniform(0.4, 0.9, size=n_cases)
    results = []
    for (name, shift), fold, seed in product(shifts.items(), (0, 1), (0, 1)):
        mine = range(fold, n_cases, 2)
        dice = np.clip(hard[list(mine)] + shift + rng.normal(0, 0.03, size=len(mine)), 0, 1)
        cases = tuple(
            CaseScore(f"c{case}", "WT", float(value), 1.0, 9, 9)
            for case, value in zip(mine, dice, strict=True)
        )
        results.append(
            replace(
                run, method=name, label=name, fold=fold, seed=seed, regions=("WT",), cases=cases
            )
        )
    return results


def judge(results: list[RunResult]) -> Verdict:
    (comparison,) = compare_methods(results)
    return comparison.verdicts["dice/mean"]


@pytest.mark.slow
def test_planted_differences_and_ties_over_many_stores(results: list[RunResult]) -> None:
    """From runs to marks; `benchmarks/reports/statistics.py` has 1,000 stores of scores alone."""
    run = results[1]
    rng = np.random.default_rng(0)
    false_alarms = found = 0
    for _ in range(40):
        equal = judge(make_store(run, rng, dict.fromkeys("abcde", 0.0)))
        false_alarms += len(equal.tied) < 4
        planted = judge(make_store(run, rng, {"a": 0.0, "b": 0.05, "c": 0.0}))
        assert (equal.n_trainings, planted.n_trainings, planted.n_cases) == (4, 4, 30)
        found += planted.best == "b" and not planted.tied
    print(  # noqa: T201
        f"\n40 stores: {false_alarms} false alarms, planted difference found in {found}"
    )
    assert false_alarms <= 2  # 5 %
    assert found == 40
