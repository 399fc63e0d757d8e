"""Several trainings: against a mixed model, SciPy's t test, and what is too little."""

import warnings
from math import nan

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from reports.analysis.paired.contrasts import Sample, list_pairs
from reports.analysis.paired.folds import FoldsDesign
from reports.analysis.paired.seeds import SeedsDesign
from reports.analysis.paired.trainings import collect_blocks, find_design


def make_runs(
    folds: int = 1, seeds: int = 3, cases: int = 12, methods: str = "ab", rng_seed: int = 0
) -> pd.DataFrame:
    """Scores with effects of cases, trainings and both, (fold, seed, case) x methods."""
    rng = np.random.default_rng(rng_seed)
    frames = []
    for fold in range(folds):
        hard = rng.normal(0.7, 0.1, (1, cases, 1)) + rng.normal(0, 0.05, (1, cases, len(methods)))
        trained = rng.normal(0, 0.03, (seeds, 1, len(methods)))
        values = hard + trained + rng.normal(0, 0.03, (seeds, cases, len(methods)))
        names = [f"f{fold}c{case}" for case in range(cases)]
        index = pd.MultiIndex.from_product(
            [[fold], range(seeds), names], names=["fold", "seed", "case"]
        )
        frames.append(pd.DataFrame(values.reshape(-1, len(methods)), index, list(methods)))
    return pd.concat(frames)


def average(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.groupby(level="case", sort=False).mean()


@pytest.mark.parametrize("rng_seed", range(3))
def test_the_error_of_a_mean_is_that_of_a_mixed_model(rng_seed: int) -> None:
    """REML of y = mean + seed + case + rest, both random and crossed (statsmodels)."""
    runs = make_runs(methods="a", cases=15, seeds=4, rng_seed=rng_seed)
    long = runs.reset_index().assign(one=1)
    parts = {"seed": "0 + C(seed)", "case": "0 + C(case)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("a ~ 1", long, groups="one", vc_formula=parts).fit(reml=True)
    design = find_design(runs)
    assert design is not None
    estimate = design.estimate(np.ones(1))
    assert estimate.value == pytest.approx(model.params["Intercept"])
    assert estimate.standard_error == pytest.approx(model.bse["Intercept"], rel=2e-3)


def test_one_seed_in_each_fold_is_a_t_test_over_folds() -> None:
    runs = make_runs(folds=5, seeds=1)
    sample = Sample.of(average(runs), runs)
    assert isinstance(sample.design, FoldsDesign)
    means = runs.groupby(level="fold").mean()
    expected = stats.ttest_rel(means["a"], means["b"])
    estimate = sample.estimate(sample.contrast("a", "b"))
    assert estimate.p_value() == pytest.approx(expected.pvalue)
    p, corrected = sample.test(list_pairs(2))
    assert p == pytest.approx(expected.pvalue, abs=0.015)
    assert corrected == p


def test_with_equal_trainings_the_test_is_nearly_that_over_cases() -> None:
    one = make_runs(seeds=1, cases=60)
    copies = [one.rename(index={0: seed}, level="seed") for seed in range(4)]
    runs = pd.concat(copies)
    with_runs = Sample.of(average(runs), runs)
    assert isinstance(with_runs.design, SeedsDesign)
    alone = Sample.of(average(runs))
    contrast = alone.contrast("a", "b")
    found, expected = with_runs.estimate(contrast), alone.estimate(contrast)
    assert found.value == pytest.approx(expected.value)
    assert found.standard_error == pytest.approx(expected.standard_error)
    assert found.skewness == pytest.approx(expected.skewness, rel=0.03)
    assert with_runs.test(contrast[None])[0] == pytest.approx(
        alone.test(contrast[None])[0], abs=0.02
    )


def test_trainings_that_differ_widen_the_interval() -> None:
    runs = make_runs(cases=60)
    shift = runs.index.get_level_values("seed").to_numpy()[:, None] * np.array([0.1, -0.1])
    quiet = Sample.of(average(runs), runs)
    loud = Sample.of(average(runs + shift), runs + shift)
    contrast = quiet.contrast("a", "b")
    assert loud.estimate(contrast).standard_error > 2 * quiet.estimate(contrast).standard_error
    assert loud.estimate(contrast).df < quiet.estimate(contrast).df
    assert loud.estimate(contrast).n_trainings == 3


@pytest.mark.parametrize(
    ("folds", "seeds", "kind"),
    [
        (1, 1, None),
        (1, 2, None),
        (2, 1, None),
        (1, 3, SeedsDesign),
        (2, 2, SeedsDesign),
        (3, 1, FoldsDesign),
        (3, 3, SeedsDesign),
    ],
)
def test_which_trainings_are_enough(folds: int, seeds: int, kind: type | None) -> None:
    design = find_design(make_runs(folds, seeds))
    assert type(design) is (kind or type(None))
    if design:
        assert (design.n_trainings, design.n_folds) == (folds * seeds, folds)


def test_a_method_without_some_trainings_leaves_the_test_to_cases() -> None:
    runs = make_runs(folds=1, seeds=3)
    runs.loc[(0, 2), "b"] = nan
    assert find_design(runs) is None
    assert Sample.of(average(runs), runs).n_trainings == 1


def test_undefined_scores_of_one_training_are_those_of_the_others() -> None:
    runs = make_runs(cases=6)
    runs.loc[(0, 1, "f0c2"), "a"] = nan
    (block,) = collect_blocks(runs)
    assert block.shape == (3, 6, 2)
    assert block.mean(axis=(0, 1)) == pytest.approx(average(runs).mean().to_numpy())
    runs.loc[(0, slice(None), "f0c2"), "a"] = nan
    (block,) = collect_blocks(runs)
    assert block.shape == (3, 5, 2)


def test_a_method_that_never_differs_is_told_from_others() -> None:
    runs = make_runs(methods="abc", cases=8)
    constant = pd.DataFrame(0.5, runs.index, ["a", "b"]).assign(c=0.6)
    sample = Sample.of(average(constant), constant)
    assert sample.test(list_pairs(3))[1].tolist() == [1.0, 1e-4, 1e-4]
