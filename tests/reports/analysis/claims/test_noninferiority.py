"""Non-inferiority, by libraries and on planted runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from reports.analysis.claims.noninferiority import (
    Finding,
    false_claim_probability,
    find_non_inferior,
    margin_p_values,
)
from reports.analysis.claims.robustness import find_bad_cases, ranking_stability
from reports.analysis.comparison import compare_methods
from reports.analysis.paired.intervals import estimate_mean
from reports.analysis.scopes import Scope
from reports.analysis.statistics import TooFewError
from reports.analysis.tidy import MEAN
from reports.records.run import RunResult
from tests.reports.made_results import make_result

DICE = f"dice/{MEAN}"


def student(values: np.ndarray):
    return replace(estimate_mean(values), skewness=0.0)


@pytest.mark.parametrize("shift", [-0.03, -0.005, 0.0, 0.02])
@pytest.mark.parametrize("n", [8, 74])
def test_both_one_sided_tests_agree_with_statsmodels(shift: float, n: int) -> None:
    rng = np.random.default_rng(n)
    reference = rng.uniform(0.5, 0.9, n)
    method = reference + shift + rng.normal(0, 0.02, n)
    p = margin_p_values(student(method - reference), 0.01)
    both, above, below = ttost_paired(method, reference, -0.01, 0.01)
    assert p.non_inferior == pytest.approx(above[1], abs=1e-12)
    assert p.equivalent == pytest.approx(both, abs=1e-12)
    assert p.equivalent == pytest.approx(max(above[1], below[1]), abs=1e-12)
    assert p.inferior == pytest.approx(1 - above[1], abs=1e-12)


@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.004])
def test_the_probability_of_a_false_claim_is_a_tail_of_students_t(shift: float) -> None:
    rng = np.random.default_rng(3)
    reference = rng.uniform(0.5, 0.9, 20)
    method = reference + shift + rng.normal(0, 0.03, 20)
    sds, r = (method.std(ddof=1), reference.std(ddof=1)), np.corrcoef(method, reference)[0, 1]
    spread = np.sqrt(sds[0] ** 2 + sds[1] ** 2 - 2 * sds[0] * sds[1] * r)  # as the paper has it
    gap = abs(method.mean() - reference.mean())
    expected = stats.t.cdf(-np.sqrt(20) * gap / spread, 19)
    found = false_claim_probability(student(method - reference))
    assert found == pytest.approx(expected, rel=1e-9)
    assert found <= 0.5
    two_sided = stats.ttest_rel(method, reference).pvalue
    assert found == pytest.approx(two_sided / 2, rel=1e-9)


def shifted(run: RunResult, label: str, shift: float, spread: float = 0.002) -> RunResult:
    """Return the run of another method that is better by ``shift`` Dice in the mean."""
    noise = np.random.default_rng([*label.encode(), run.seed]).normal(0, spread, len(run.cases))
    noise -= noise.mean()
    rows = []
    for row, own in zip(run.cases, noise, strict=True):
        rows.append(replace(row, dice=float(np.clip(row.dice + shift + own, 0, 1))))
    changes = {"method": label, "label": label, "run_id": f"{label}-{run.seed}"}
    return replace(run, cases=tuple(rows), **changes)


def scope_of(*runs: RunResult) -> Scope:
    (comparison,) = compare_methods(runs)
    return comparison.scopes[DICE]


def test_findings_of_planted_differences() -> None:
    full = make_result("full", n_cases=20)
    shifts = {"same": 0.0, "better": 0.05, "worse": -0.05}
    runs = [shifted(full, label, shift) for label, shift in shifts.items()]
    noisy = shifted(full, "noisy", 0.0, spread=0.15)
    found = find_non_inferior(scope_of(full, *runs, noisy), "full", 0.01)
    assert {each.method: each.finding for each in found} == {
        "same": Finding.EQUIVALENT,
        "better": Finding.NON_INFERIOR,
        "worse": Finding.INFERIOR,
        "noisy": Finding.UNDECIDED,
    }
    assert {each.n_cases for each in found} == {20}
    assert {each.n_trainings for each in found} == {1}


def test_p_values_are_corrected_over_the_methods() -> None:
    full = make_result("full", n_cases=20)
    one = shifted(full, "one", -0.006, spread=0.02)
    others = [shifted(full, f"other{number}", -0.006, spread=0.02) for number in range(6)]
    (alone,) = find_non_inferior(scope_of(full, one), "full", 0.01)
    among = find_non_inferior(scope_of(full, one, *others), "full", 0.01)[0]
    assert among.p.non_inferior >= alone.p.non_inferior
    assert max(each.p.non_inferior for each in [among]) > alone.p.non_inferior


def test_differences_between_trainings_widen_the_interval() -> None:
    """Three trainings that differ by 5 points: what cases alone say is not enough."""
    full = [make_result("full", seed=seed, n_cases=20) for seed in range(3)]
    shifts = (-0.05, 0.0, 0.05)
    lora = [shifted(run, "lora", shift) for run, shift in zip(full, shifts, strict=True)]
    (found,) = find_non_inferior(scope_of(*full, *lora), "full", 0.01)
    assert found.n_trainings == 3
    assert found.finding is Finding.UNDECIDED
    assert found.difference.high - found.difference.low > 0.05
    (single,) = find_non_inferior(scope_of(full[1], lora[1]), "full", 0.01)
    assert single.finding is Finding.EQUIVALENT


def test_few_cases_or_methods_are_refused() -> None:
    full = make_result("full", n_cases=4)
    with pytest.raises(TooFewError, match="must have 5 cases at least, got 4"):
        find_non_inferior(scope_of(full, shifted(full, "lora", 0.0)), "full", 0.01)
    with pytest.raises(TooFewError, match="must have two methods, got one"):
        find_non_inferior(scope_of(full), "full", 0.01)


def test_bad_cases_are_counted_by_region_and_training() -> None:
    full = make_result("full", n_cases=20)
    rows = list(full.cases)
    rows[2] = replace(rows[2], dice=0.05)  # a region of the first case
    rows[7] = replace(rows[7], dice=0.099)
    rows[8] = replace(rows[8], dice=0.02)  # two regions of the third
    (comparison,) = compare_methods([replace(full, cases=tuple(rows)), shifted(full, "lora", 0.0)])
    found = find_bad_cases(comparison.scopes, "full")
    assert found.failed_frac == pytest.approx(2 / 20)
    means = comparison.scores["full"].to_numpy()
    assert found.low_dice == pytest.approx(np.quantile(means, 0.05))
    assert find_bad_cases(comparison.scopes, "lora").failed_frac == 0


def test_the_stability_of_a_ranking() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.5, 0.9, 30)
    clear = pd.DataFrame({name: hard + 0.1 * place for place, name in enumerate("abcd")})
    stable = ranking_stability(clear)
    assert (stable.value, stable.low, stable.high) == (1, 1, 1)
    chance = pd.DataFrame(rng.normal(0.5, 0.1, (30, 4)), columns=list("abcd"))
    shaky = ranking_stability(chance)
    assert shaky.low < shaky.value < 0.8
    draws = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=1000)
    by_hand = [stats.kendalltau(chance.mean(), draw @ chance / 30).statistic for draw in draws]
    assert shaky.value == pytest.approx(np.mean(by_hand))
    with pytest.raises(TooFewError, match="two methods and 5 cases, got 1 and 30"):
        ranking_stability(clear[["a"]])
