"""The table of non-inferiority, intervals in the main table, and the CSV of cases."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from reports.analysis.comparison import MethodComparison, compare_methods
from reports.formats import FORMATS
from reports.formats.macros import format_macros
from reports.formats.spreadsheet import format_case_scores
from reports.records.run import Status
from reports.tables.build import ReportRequest, build_tables
from reports.tables.kinds.main import main_tables
from reports.tables.kinds.noninferiority import noninferiority_tables
from reports.tables.table import BEST, Table
from tests.reports.made_results import make_result, read_fixture

METHODS = ("full", "linear", "lora", "med_adapter")


def compare(n_cases: int = 20, seeds: int = 1) -> list[MethodComparison]:
    runs = []
    for method in METHODS:
        runs += [make_result(method, seed=seed, n_cases=n_cases) for seed in range(seeds)]
    return compare_methods(runs)


def texts(table: Table, key: str) -> list[str]:
    (column,) = [column for column in table.columns if column.key == key]
    return [cell.own_key for cell in column.cells]


def test_the_reference_is_full_fine_tuning_and_comes_first() -> None:
    (table,) = noninferiority_tables(compare())
    assert texts(table, "method") == ["full", "linear", "lora", "med_adapter"]
    findings = texts(table, "finding")
    assert findings[0] == "reference"
    assert findings[1] == "inferior"
    assert texts(table, "difference")[0] == "–"
    assert {"tuned_m", "peak_mib", "fit_s"} <= {column.key for column in table.columns}
    words = " ".join(table.caption)
    for part in (
        "Non-inferiority of mean Dice to Full fine-tuning, margin 1 points,",
        "Student's t tests",
        "Holm's correction over the methods",
        "n = 20 cases.",
        "one training per method: differences between trainings are not in these tests",
        "Kendall's tau",
        "Dice < 0.1",
    ):
        assert part in words


def test_a_wide_margin_calls_everything_equivalent() -> None:
    (table,) = noninferiority_tables(compare(), "lora", 20.0)
    assert texts(table, "method")[0] == "lora"
    assert set(texts(table, "finding")) == {"reference", "equivalent"}
    assert "margin 20 points" in table.caption[0]


def test_several_trainings_are_in_the_tests() -> None:
    (table,) = noninferiority_tables(compare(seeds=3))
    assert "; 3 trainings per method (seeds of one fold" in " ".join(table.caption)


def test_a_setting_without_the_reference_is_named() -> None:
    comparisons = compare_methods([make_result("lora"), make_result("linear")])
    rule = r"on BraTS.* with all runs done and ranked, got 'full' not among lora, l"
    with pytest.raises(ValueError, match=rule):
        noninferiority_tables(comparisons)


def test_all_has_the_table_and_passes_the_options_on() -> None:
    request = ReportRequest(kind="all", versus="linear", margin_points=3.0)
    tables = build_tables(read_fixture(), request, per_dataset=False)
    found = [table for table in tables if table.kind == "noninferiority"]
    assert [table.caption[0].partition(" on ")[0] for table in found] == [
        "Non-inferiority of mean Dice to Linear probing, margin 3 points,"
    ] * 2


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_intervals_of_every_mean_in_every_format(name: str) -> None:
    comparisons = compare()
    (table,) = main_tables(comparisons, intervals=True)
    column = next(column for column in table.columns if column.key == "brats:dice/mean")
    best = next(cell for cell in column.cells if cell.place == BEST)
    assert best.low < best.value < best.high
    assert best.text == f"{best.value:.1f} [{best.low:.1f}, {best.high:.1f}]"
    assert "± standard deviation" not in " ".join(table.caption)
    assert "95 % interval" in " ".join(table.caption)
    text = FORMATS[name](table)
    if name == "latex":
        numbers = [f"{number:.1f}" for number in (best.value, best.low, best.high)]
        assert (
            rf"\textbf{{\num{{{numbers[0]}}} [\num{{{numbers[1]}}}, \num{{{numbers[2]}}}]}}" in text
        )
    elif name == "csv":
        row = next(csv.DictReader(io.StringIO(text)))
        assert float(row["brats:dice/mean_low"]) == pytest.approx(column.cells[0].low)
    else:
        assert best.text.split()[0] in text
    number = format_macros([table])
    assert f"{{{best.value:.1f}}}" in number
    assert "[" not in number


def test_a_csv_of_cases_has_a_column_per_method() -> None:
    (comparison,) = compare(n_cases=6)
    rows = list(csv.DictReader(io.StringIO(format_case_scores(comparison.scores))))
    assert list(rows[0]) == ["case", *METHODS]
    assert len(rows) == 6
    scores = comparison.scores
    assert float(rows[2]["lora"]) == pytest.approx(scores["lora"].iloc[2])


def test_names_in_a_csv_of_cases_are_no_formulas() -> None:
    (comparison,) = compare(n_cases=6)
    scores = comparison.scores.rename(columns={"lora": "=lora"})
    assert "'=lora" in format_case_scores(scores).splitlines()[0].split(",")


@pytest.mark.parametrize("n_cases", [6, 20])
def test_intervals_of_few_cases_are_marked(n_cases: int) -> None:
    tables = [*main_tables(compare(n_cases), intervals=True)]
    tables += noninferiority_tables(compare(n_cases))
    for table in tables:
        marked = [cell for column in table.columns for cell in column.cells if "rough" in cell.text]
        assert bool(marked) == (n_cases < 16)
        assert any(sentence.startswith("rough:") for sentence in table.caption) == bool(marked)


def test_a_mean_without_interval_has_no_spread_either() -> None:
    (table,) = main_tables(compare(n_cases=4), intervals=True)
    assert not any("±" in cell.text for column in table.columns for cell in column.cells)


def test_methods_with_failed_runs_are_named_and_not_compared() -> None:
    failed = replace(make_result("linear"), status=Status.FAILED, cases=())
    runs = [make_result(method, n_cases=20) for method in ("full", "lora")]
    (table,) = noninferiority_tables(compare_methods([*runs, failed]))
    assert texts(table, "method") == ["full", "lora"]
    assert "Not all runs done, so not compared: Linear probing." in table.caption
