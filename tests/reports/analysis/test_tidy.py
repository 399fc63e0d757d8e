"""The long table: seeds first, then folds, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from reports.analysis.cases.equal import check_cases
from reports.analysis.tidy import (
    MEAN,
    average_seeds,
    case_table,
    fold_means,
    group_by_setting,
    score_matrix,
)
from reports.records.run import RunResult, Status


def with_first(result: RunResult, **changes: float) -> RunResult:
    return replace(result, cases=(replace(result.cases[0], **changes), *result.cases[1:]))


def test_seeds_are_averaged_within_a_case(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, seed=1, cases=tuple(replace(row, dice=row.dice - 0.2) for row in lora.cases)
    )
    wide = average_seeds(case_table([lora, other]))
    assert wide.loc[("lora[rank=8]", "p1")].to_dict() == pytest.approx(
        {"WT": 0.7, "ET": 0.4, MEAN: 0.55}
    )


def test_folds_put_their_cases_together(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, fold=1, cases=tuple(replace(row, case=f"q{row.case}") for row in lora.cases)
    )
    matrix = score_matrix([lora, other])
    assert matrix.index.tolist() == ["p1", "p2", "qp1", "qp2"]
    assert matrix["lora[rank=8]"].tolist() == pytest.approx([0.65, 0.5, 0.65, 0.5])


def test_the_matrix_has_a_hole_where_a_method_has_not_seen_a_case(results: list[RunResult]) -> None:
    full, lora = results[:2]
    matrix = score_matrix([full, replace(lora, cases=lora.cases[:2])], region="WT")
    assert matrix.columns.tolist() == ["full", "lora[rank=8]"]
    assert matrix["full"].tolist() == pytest.approx([0.88, 0.66])
    assert matrix["lora[rank=8]"].tolist() == pytest.approx([0.8, math.nan], nan_ok=True)


def test_runs_that_are_not_done_have_no_scores(results: list[RunResult]) -> None:
    assert score_matrix(results[3:]).empty
    late = replace(results[1], status=Status.DIVERGED)
    assert score_matrix([results[0], late]).columns.tolist() == ["full"]


def test_undefined_scores_stay_undefined(results: list[RunResult]) -> None:
    lora = with_first(results[1], dice=math.nan)
    assert score_matrix([lora], region="WT").isna().sum().item() == 1
    # A mean over the other region would reward a miss.
    assert math.isnan(score_matrix([lora]).iloc[0].item())


def test_a_region_that_the_reference_lacks_shortens_the_mean_of_all(
    results: list[RunResult],
) -> None:
    full, lora = results[:2]
    right = replace(lora.cases[3], dice=math.nan, n_predicted_vox=0)  # undefined: ET is absent
    lora = replace(lora, cases=(*lora.cases[:3], right))
    matrix = score_matrix([full, lora])
    assert matrix.loc["p2"].tolist() == pytest.approx([0.66, 0.6])  # WT of both
    assert matrix.loc["p1"].tolist() == pytest.approx([0.715, 0.65])


def test_a_seed_without_a_value_leaves_the_case_undefined(results: list[RunResult]) -> None:
    lora = results[1]
    missed = with_first(replace(lora, seed=1, run_id="other"), hd95_mm=math.nan, n_predicted_vox=0)
    wide = average_seeds(case_table([lora, missed]), "hd95_mm")
    assert math.isnan(wide.loc[("lora[rank=8]", "p1"), "WT"])


@pytest.mark.parametrize(
    ("metric", "value", "rule"),
    [
        (
            "dice",
            math.inf,
            "dice of case p1, region WT, in run brats-lora must be between 0 and 1 or nan, got inf",
        ),
        ("dice", -0.1, "got -0.1"),
        (
            "hd95_mm",
            math.inf,
            "hd95_mm of case p1, region WT, in run brats-lora must be a finite number >= 0",
        ),
        ("nsd", 1.5, "nsd of case p1"),
    ],
)
def test_scores_that_cannot_be_are_refused(
    results: list[RunResult], metric: str, value: float, rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        case_table([with_first(results[1], **{metric: value})])


def test_unequal_cases_of_a_fold_are_refused_and_listed(results: list[RunResult]) -> None:
    full, lora, linear, *others = results
    short = replace(lora, cases=lora.cases[:2])
    with pytest.raises(
        ValueError,
        match=r"BraTS on Tiny ViT/8 \(random initialisation\), fold 0, must have .* in p2 \(",
    ):
        check_cases([full, short, linear])
    kept = check_cases([full, short, linear, *others], intersection=True)
    assert [{row.case for row in result.cases} for result in kept] == [{"p1"}] * 3 + [set()] * 2
    assert check_cases(results) == results


def test_other_folds_may_have_other_cases(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, fold=1, cases=tuple(replace(row, case=f"q{row.case}") for row in lora.cases)
    )
    assert check_cases([lora, other]) == [lora, other]


def test_a_case_that_two_folds_hold_out_is_refused(results: list[RunResult]) -> None:
    lora = results[1]
    with pytest.raises(
        ValueError, match=r"must hold each case out once, got p1 in folds 0 and 1 \("
    ):
        check_cases([lora, replace(lora, fold=1)])
    again = replace(lora, seed=1)
    other_file = replace(lora, fold=1, protocol_id="other")  # its folds are others
    assert check_cases([lora, again, other_file]) == [lora, again, other_file]


def test_settings_are_told_apart_by_shots_too(results: list[RunResult]) -> None:
    lora = results[1]
    few = replace(lora, protocol=lora.protocol | {"data": {"shots": 5}})
    groups = group_by_setting([lora, few, lora])
    assert [str(setting) for setting in groups] == [
        "BraTS on Tiny ViT/8 (random initialisation)",
        "BraTS on Tiny ViT/8 (random initialisation, 5 training cases)",
    ]
    assert [len(group) for group in groups.values()] == [2, 1]


def test_means_of_folds_and_seeds(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, seed=1, cases=tuple(replace(row, dice=row.dice - 0.2) for row in lora.cases)
    )
    means = fold_means(case_table([lora, other]))
    assert means[MEAN].tolist() == pytest.approx([0.575, 0.375])
    assert np.isclose(means["WT"], [0.7, 0.5]).all()
