"""Two runs side by side."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bench.cli.reporting.compare import match_run
from reports.analysis.run_pair import compare_regions, list_differences, pair_cases
from reports.records.run import RunResult, Status
from tests.reports.made_results import make_result, without_numbers

LORA, LINEAR = make_result("lora", settings={"rank": 8}), make_result("linear")


def dices(run: RunResult, region: str) -> np.ndarray:
    return np.array([row.dice for row in run.cases if row.region == region])


def test_every_field_that_differs_is_named_once() -> None:
    other = replace(
        LORA,
        settings={"rank": 4},
        protocol=LORA.protocol | {"train": {"lr": 0.01, "epochs": 5}},
        protocol_id="other",
        provenance=LORA.provenance
        | {"packages": {"torch": "3.0"}, "threads": 2, "started_at": "later"},
    )
    found = [
        (item.group, item.field, item.first, item.second) for item in list_differences(LORA, other)
    ]
    assert found == [
        ("run", "protocol_id", LORA.protocol_id, "other"),
        ("run", "method.rank", "8", "4"),
        ("protocol", "train.lr", "0.001", "0.01"),
        ("environment", "packages.torch", "fixture", "3.0"),
        ("environment", "threads", "(none)", "2"),
    ]
    assert list(list_differences(LORA, LORA)) == []


def test_regions_are_paired_case_by_case() -> None:
    found = compare_regions(*pair_cases(LINEAR, LORA))
    assert list(found) == ["WT", "TC", "ET", "mean"]
    gaps = dices(LORA, "TC") - dices(LINEAR, "TC")
    assert found["TC"].difference.value == pytest.approx(gaps.mean())
    assert found["TC"].p_wilcoxon == pytest.approx(stats.wilcoxon(gaps).pvalue)
    flips = stats.permutation_test((gaps,), np.mean, permutation_type="samples")
    assert found["TC"].p == pytest.approx(flips.pvalue)
    assert found["TC"].second - found["TC"].first == pytest.approx(gaps.mean())
    assert found["TC"].n == 10


def test_only_common_cases_are_paired_and_few_have_no_p() -> None:
    some = replace(
        LORA, cases=tuple(row for row in LORA.cases if row.case.endswith(("1", "2", "3")))
    )
    first, second = pair_cases(LINEAR, some)
    assert (
        first.index.tolist() == second.index.tolist() == ["brats_0_01", "brats_0_02", "brats_0_03"]
    )
    assert {test.p for test in compare_regions(first, second).values()} == {None}


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            without_numbers(LINEAR, Status.OOM, "too little"),
            "a run must have scores, got .*linear.*, which ended oom",
        ),
        (
            make_result("linear", fold=1),
            "must have held-out cases in common, got .* fold 0, and .* fold 1",
        ),
        (make_result("linear", dataset="kits"), "must have held-out cases in common"),
    ],
)
def test_what_cannot_be_paired_is_refused(other: RunResult, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pair_cases(LORA, other)


def test_a_run_is_found_by_its_id_or_a_part_of_it() -> None:
    runs = [LORA, LINEAR, make_result("lora", seed=1)]
    assert match_run(runs, LORA.run_id) is LORA
    assert match_run(runs, "linear") is LINEAR
    with pytest.raises(ValueError, match=r"got 'lora', which fits 2 of them: fixture-brats-lora"):
        match_run(runs, "lora")
    with pytest.raises(ValueError, match="got 'unet', which fits none of fixture-brats-lora"):
        match_run(runs, "unet")
    with pytest.raises(ValueError, match="the tracking store holds no result yet"):
        match_run([], "lora")
