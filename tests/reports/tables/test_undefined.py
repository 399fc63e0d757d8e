"""A score that is undefined where a method misses does not reward the miss, in any table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.tracking.results import metrics
from reports.analysis.comparison import MethodComparison, compare_methods
from reports.analysis.run_pair import compare_regions, count_undefined, pair_cases
from reports.analysis.tidy import MEAN
from reports.figures.tradeoff import finished_with
from reports.formats import FORMATS
from reports.page.facts import mean_dice_pct
from reports.records.run import RunResult
from reports.tables.build import KINDS
from reports.tables.kinds.main import main_table
from reports.tables.table import BEST, Cell, Table
from tests.reports.planted import Plant, plant_misses, plant_run

HD95 = f"hd95_mm/{MEAN}"
EIGHT = range(12, 20)


def compare(runs: list[RunResult], **options) -> MethodComparison:
    (comparison,) = compare_methods(runs, **options)
    return comparison


def cells(table: Table, key: str) -> dict[str, Cell]:
    (column,) = [column for column in table.columns if column.key == f"kits:{key}"]
    return {name.key: cell for name, cell in zip(table.columns[0].cells, column.cells, strict=True)}


def own_mean(run: RunResult, region: str, metric: str = "hd95_mm") -> float:
    return float(np.nanmean([row.score(metric) for row in run.cases if row.region == region]))


@pytest.fixture(scope="module")
def missing() -> list[RunResult]:
    """Three methods, of which one misses 8 of 20 tumours and is the nearest in the other 12."""
    return plant_misses({"lora": EIGHT, "full": (), "adaptformer": ()})


def test_the_method_that_misses_8_of_20_tumours_is_never_bold(missing: list[RunResult]) -> None:
    distances = [own_mean(run, "tumour") for run in missing]
    assert distances[0] < min(distances[1:])  # the trap: its own mean is the best
    comparison = compare(missing)
    table = main_table([comparison])
    found = cells(table, HD95)
    assert (found["lora"].place, found["lora"].tied) == (0, False)
    assert "(12 of 20)" in found["lora"].text
    assert math.isnan(found["lora"].value)  # nothing is computed from it
    assert BEST in {found["full"].place, found["adaptformer"].place}
    shares = cells(table, f"{HD95}_defined_pct")
    assert [shares[name].value for name in ("lora", "full", "adaptformer")] == [60, 100, 100]
    assert "HD95 on KiTS: compared on the 20 of 20 cases" in " ".join(table.caption)
    assert "not ranked: LoRA." in " ".join(table.caption)
    verdict = comparison.verdicts[HD95]
    assert "lora" not in {verdict.best, *verdict.tied}


def test_it_takes_nothing_from_the_comparison_of_the_others(missing: list[RunResult]) -> None:
    with_it, without = compare(missing), compare(missing[1:])
    assert with_it.scopes[HD95].matrix().equals(without.scopes[HD95].matrix())
    after, before = (cells(main_table([each]), HD95) for each in (with_it, without))
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_format_prints_the_miss_in_bold(missing: list[RunResult], name: str) -> None:
    found = cells(main_table([compare(missing)]), HD95)["lora"]
    text = FORMATS[name](main_table([compare(missing)]))
    assert found.text in text
    assert rf"\bfseries {found.text}" not in text
    assert f"**{found.text}**" not in text


def test_a_method_that_is_undefined_nearly_everywhere_is_left_out_alone() -> None:
    runs = plant_misses({"lora": range(1, 20), "full": (), "adaptformer": ()})
    scope = compare(runs).scopes[HD95]
    assert scope.ranked == ("full", "adaptformer")
    assert len(scope.cases) == 20


def test_a_single_miss_is_ranked_on_the_cases_that_all_have() -> None:
    runs = plant_misses({"lora": [19], "full": (), "adaptformer": ()})
    comparison = compare(runs)
    scope = comparison.scopes[HD95]
    assert scope.ranked == ("lora", "full", "adaptformer")
    assert "case_19" not in scope.cases
    printed = cells(main_table([comparison]), HD95)
    for run in runs:
        tumours = [row for row in run.cases if row.region == "tumour" and row.case != "case_19"]
        others = [row for row in run.cases if row.region != "tumour" and row.case != "case_19"]
        means = [np.mean([row.hd95_mm for row in rows]) for rows in (tumours, others)]
        assert printed[run.label].value == pytest.approx(np.mean(means))
    assert "compared on the 19 of 20 cases" in " ".join(main_table([comparison]).caption)


def test_no_method_is_ranked_where_all_miss_other_tumours() -> None:
    runs = plant_misses({"lora": range(8), "full": range(6, 14), "adaptformer": range(12, 20)})
    comparison = compare(runs)
    assert comparison.scopes[HD95].ranked == ()
    assert HD95 not in comparison.verdicts
    found = cells(main_table([comparison]), HD95)
    assert {cell.place for cell in found.values()} == {0}
    assert all("(12 of 20)" in cell.text for cell in found.values())
    assert "HD95 on KiTS: no method is ranked" in " ".join(main_table([comparison]).caption)


def test_equal_misses_are_nobodys_advantage() -> None:
    runs = plant_misses({"lora": EIGHT, "full": EIGHT, "adaptformer": EIGHT})
    comparison = compare(runs)
    assert comparison.scopes[HD95].ranked == ("lora", "full", "adaptformer")
    assert len(comparison.scopes[HD95].cases) == 12


def test_a_miss_in_one_seed_takes_the_case_out() -> None:
    runs = plant_misses({"full": (), "adaptformer": ()})
    first = plant_misses({"lora": ()})[0]
    second = replace(plant_misses({"lora": [19]}, seed=1)[0], run_id="second")
    comparison = compare([first, second, *runs, *(replace(run, seed=1) for run in runs)])
    scope = comparison.scopes[HD95]
    assert "lora" in scope.ranked
    assert "case_19" not in scope.cases
    assert scope.share("lora") == pytest.approx(39 / 40)


def test_a_false_alarm_that_others_leave_undefined_is_no_advantage() -> None:
    """Under the policy of nnU-Net an absent tumour is undefined if it is rightly not predicted."""
    absent = frozenset(EIGHT)
    right = {"absent": absent, "policy": "nnunet"}
    alarms = plant_run("lora", Plant([0] * 20), **right)
    runs = [alarms, *plant_misses({"full": EIGHT, "adaptformer": EIGHT}, **right)]
    comparison = compare(runs)
    (table,) = KINDS["comparison"]([comparison])
    assert [cell.key for cell in table.columns[0].cells] == ["adaptformer"]  # against full
    assert "not ranked: LoRA." in " ".join(table.caption)
    scope = comparison.scopes["dice/tumour"]
    assert scope.ranked == ("full", "adaptformer")
    found = cells(main_table([comparison]), "dice/tumour")
    assert "(20 of 20)" in found["lora"].text
    assert found["lora"].place == 0
    shares = cells(main_table([comparison]), "dice/tumour_defined_pct")
    assert [shares[name].value for name in ("lora", "full")] == [100, 60]


def test_a_penalty_counts_every_miss_and_is_stated(missing: list[RunResult]) -> None:
    comparison = compare(missing, penalty_mm=374.0)
    table = main_table([comparison])
    found = cells(table, HD95)
    assert max(found, key=lambda name: found[name].value) == "lora"
    tumours = [row.hd95_mm for row in missing[0].cases if row.region == "tumour"]
    assert comparison.rows["hd95_mm/tumour"][0] == pytest.approx(
        np.mean(np.nan_to_num(tumours, nan=374.0))
    )
    assert "HD95 of a miss that the policy leaves undefined: 374 mm." in table.caption
    assert not [column for column in table.columns if column.key.endswith("defined_pct")]


def test_columns_of_a_sweep_are_over_the_same_cases() -> None:
    """Dice is undefined for one method in one case under one of the two weights."""
    absent, policy = frozenset([19]), "nnunet"
    runs = []
    for weights, missed in (("none", [19]), ("in21k", [])):
        for method in ("lora", "full"):
            plant = Plant([2 + number % 3 for number in range(20)], frozenset(missed))
            options = {"absent": absent, "policy": policy, "weights": weights}
            runs.append(plant_run(method, plant, **options))
    (table,) = KINDS["pretraining"](compare_methods(runs))
    none, in21k = (column.cells[0] for column in table.columns[1:3])
    assert none.value == pytest.approx(in21k.value)  # equal predictions, but for the alarm
    assert "compared on the 19 of 20 cases" not in none.text


def test_two_runs_are_compared_on_the_cases_of_both(missing: list[RunResult]) -> None:
    medtuning = [replace(run, cases=_undefine_misses(run)) for run in missing]
    first, second = pair_cases(medtuning[0], medtuning[1])
    assert count_undefined(first, second) == {"tumour": (8, 0), MEAN: (8, 0)}
    test = compare_regions(first, second)["tumour"]
    found = {row.case for row in medtuning[0].cases if row.region == "tumour" and row.dice > 0}
    rows = [row.dice for row in missing[1].cases if row.region == "tumour" and row.case in found]
    assert (test.n, test.second) == (12, pytest.approx(np.mean(rows)))


def test_mlflow_and_page_keep_a_mean_of_fewer_cases_apart(missing: list[RunResult]) -> None:
    partial, whole = (dict(item[:2] for item in metrics(run)) for run in missing[:2])
    assert "hd95_mm/tumour" not in partial
    assert partial["hd95_mm/tumour_defined_frac"] == pytest.approx(0.6)
    assert partial["hd95_mm/tumour_where_defined"] == pytest.approx(own_mean(missing[0], "tumour"))
    assert whole["hd95_mm/tumour"] == pytest.approx(own_mean(missing[1], "tumour"))
    assert mean_dice_pct(replace(missing[0], cases=_undefine_misses(missing[0]))) is None


def test_a_trade_off_shows_no_mean_of_other_cases(missing: list[RunResult]) -> None:
    runs = [replace(run, cases=_undefine_misses(run)) for run in missing]
    comparison = compare(runs)
    assert list(finished_with(comparison, "tuned_pct")["method"]) == ["full", "adaptformer"]
    assert list(comparison.scores.columns) == ["full", "adaptformer"]
    assert comparison.scores.notna().all(axis=None)


def _undefine_misses(run: RunResult) -> tuple:
    """Return the scores under a policy that leaves the overlap of a miss undefined."""
    rows = []
    for row in run.cases:
        rows.append(row if row.n_predicted_vox else replace(row, dice=math.nan))
    return tuple(rows)
