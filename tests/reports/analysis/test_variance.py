"""Components of variance against a mixed model and by hand."""

import warnings
from itertools import product
from math import nan

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.power import TTestIndPower

from reports.analysis.paired.contrasts import Sample
from reports.analysis.variance import Spread, count_trainings, measure_differences, measure_spreads
from tests.reports.analysis.paired.test_trainings import make_runs


@pytest.mark.parametrize("rng_seed", range(2))
def test_components_are_those_of_a_mixed_model(rng_seed: int) -> None:
    """REML of y = mean + fold + seed in fold + case in fold + rest (statsmodels)."""
    runs = make_runs(folds=3, seeds=4, cases=10, methods="a", rng_seed=rng_seed)
    runs += np.array([0.0, 0.2, -0.3])[runs.index.get_level_values("fold")][:, None]
    spread = measure_spreads(runs)["a"]
    long = runs.reset_index().assign(one=1)
    long["run"] = long["fold"].astype(str) + "-" + long["seed"].astype(str)
    parts = {"case": "0 + C(case)", "fold": "0 + C(fold)", "run": "0 + C(run)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("a ~ 1", long, groups="one", vc_formula=parts).fit(reml=True)
    variances = [spread.case**2, spread.fold**2, spread.seed**2, spread.residual**2]
    assert variances == pytest.approx([*model.vcomp, model.scale], rel=0.02)
    assert spread.n_trainings == 12


def test_what_cannot_be_told_apart_is_unknown() -> None:
    single = measure_spreads(make_runs(folds=1, seeds=1))["b"]
    assert np.isnan([single.fold, single.seed, single.residual, single.training_variance]).all()
    assert single.case == pytest.approx(make_runs(folds=1, seeds=1)["b"].std())
    one_fold = measure_spreads(make_runs(folds=1, seeds=3))["b"]
    assert np.isnan(one_fold.fold)
    assert one_fold.training_variance == one_fold.seed**2
    some = make_runs(folds=1, seeds=3)
    some.loc[(0, 2), "a"] = nan  # the method lacks a training; the other keeps all
    assert [spread.n_trainings for spread in measure_spreads(some).values()] == [2, 3]


def test_trainings_needed_are_those_of_a_t_test_where_cases_do_not_count() -> None:
    differences = Spread(3, case=1e-9, fold=nan, seed=0.008 * np.sqrt(2), residual=0.0)
    needed = TTestIndPower().solve_power(effect_size=0.01 / 0.008, power=0.8, alpha=0.05)
    assert count_trainings(differences, 50, 0.01) == np.ceil(needed)


def test_no_number_of_trainings_replaces_cases() -> None:
    differences = Spread(3, case=0.04, fold=nan, seed=0.008, residual=0.02)
    assert count_trainings(differences, 16, 0.01) is None
    assert count_trainings(differences, 400, 0.01) is not None
    assert count_trainings(Spread(1, 0.1, nan, nan, nan), 400, 0.01) is None


def test_what_methods_have_in_common_is_not_in_their_differences() -> None:
    runs = make_runs(folds=3, methods="abc")
    harder = runs.index.get_level_values("fold").to_numpy()[:, None] * 0.3
    apart, found = measure_spreads(runs + harder)["a"], measure_differences(runs + harder, "a")
    assert apart.fold > 0.2
    assert found is not None
    pairs = [measure_spreads((runs["a"] - runs[name]).to_frame("d"))["d"] for name in "bc"]
    for part in ("case", "fold", "seed", "residual"):
        expected = np.mean([getattr(pair, part) ** 2 for pair in pairs])
        assert getattr(found, part) ** 2 == pytest.approx(expected)
    assert measure_differences(runs[["a"]], "a") is None


@pytest.mark.parametrize(("seeds", "folds"), [(3, 1), (3, 3)])
def test_noise_of_rounding_is_no_spread(seeds: int, folds: int) -> None:
    """One method is 0.05 above the other in each case and training."""
    rng = np.random.default_rng(0)
    places = list(product(range(folds), range(seeds), range(8)))
    level = {(fold, case): rng.uniform(0.3, 0.8) for fold, _, case in places}
    first = np.array([level[fold, case] for fold, _, case in places])
    index = pd.MultiIndex.from_tuples(
        [(fold, seed, f"{fold}-{case}") for fold, seed, case in places],
        names=("fold", "seed", "case"),
    )
    runs = pd.DataFrame({"A": first, "B": first + 0.05}, index)
    found = measure_differences(runs, "A")
    assert found is not None
    assert (found.case, found.seed, found.residual) == (0, 0, 0)
    assert count_trainings(found, 8, 0.01) == 2
    sample = Sample.of(runs.groupby("case").mean(), runs)
    interval = sample.estimate(sample.contrast("B", "A")).interval()
    assert (interval.low, interval.value, interval.high) == (0.05, 0.05, 0.05)
