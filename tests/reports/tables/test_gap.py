"""The tuning gap: what is paired with what, and what is refused."""

from dataclasses import replace

import pytest

from reports.analysis.comparison import compare_methods
from reports.records.run import RunResult
from reports.tables.build import KINDS, ReportRequest, build_tables
from reports.tables.table import Table
from tests.reports.made_results import make_result, tuned_on, with_protocol


def only(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def texts(table: Table, key: str) -> list[str]:
    (column,) = [item for item in table.columns if item.key == key]
    return [cell.own_key for cell in column.cells]


def better(run: RunResult, rank: int) -> RunResult:
    """Return the run with five points more of Dice and another rank."""
    cases = tuple(replace(row, dice=row.dice + 0.05) for row in run.cases)
    return replace(run, label=f"lora[rank={rank}]", settings={"rank": rank}, cases=cases)


def test_default_and_tuned_runs_are_paired_though_their_protocols_differ_in_the_budget() -> None:
    default = make_result("lora", settings={"rank": 8})
    tuned = better(tuned_on(default, study_fold=0), rank=4)
    found = compare_methods([default, tuned, make_result("linear")])
    table = only(KINDS["gap"](found))
    assert texts(table, "method") == ["lora"]
    assert texts(table, "settings") == ["rank=4"]
    assert texts(table, "difference") == ["+5.0 [+5.0, +5.0] rough"]
    assert texts(table, "study") == ["brats-lora-tiny_vit-f0#3"]
    assert len(KINDS["main"](found)) == 2, "default and tuned runs are in tables of their own"


def test_a_study_a_fold_gives_one_row() -> None:
    default = [make_result("lora", fold=fold, settings={"rank": 8}) for fold in (0, 1)]
    tuned = []
    for run, rank in zip(default, (4, 16), strict=True):
        tuned.append(better(with_protocol(tuned_on(run, run.fold), tune_per_fold=True), rank))
    table = only(KINDS["gap"](compare_methods([*default, *tuned])))
    assert texts(table, "settings") == ["rank=4 | rank=16"]
    assert texts(table, "n") == ["20"]
    assert texts(table, "difference") == ["+5.0 [+5.0, +5.0]"]


def test_only_cases_of_both_are_averaged() -> None:
    default = [make_result("lora", fold=fold, settings={"rank": 8}) for fold in (0, 1)]
    tuned = better(tuned_on(default[0], study_fold=0), rank=4)
    table = only(KINDS["gap"](compare_methods([*default, tuned])))
    assert texts(table, "n") == ["10"]
    before, after = (float(texts(table, key)[0]) for key in ("default", "tuned"))
    assert after - before == pytest.approx(5.0)
    assert "default: 20 held-out cases, folds 0, 1, seed 0" in " ".join(table.caption)


def test_a_gap_of_other_epochs_is_refused_unless_it_is_asked_for() -> None:
    default = make_result("lora", settings={"rank": 8})
    tuned = better(with_protocol(tuned_on(default, study_fold=0), train_epochs=99), rank=4)
    with pytest.raises(ValueError, match=r"got train.epochs \(default: 5; tuned 8 trials: 99\)"):
        build_tables([default, tuned], ReportRequest(kind="gap"), per_dataset=False)
    allowed = ReportRequest(kind="gap", allow_mixed=True)
    table = only(build_tables([default, tuned], allowed, per_dataset=False))
    assert "which DIFFER in train.epochs (default: 5; tuned 8 trials: 99)" in " ".join(
        table.caption
    )
