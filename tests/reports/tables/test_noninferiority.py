"""The table of non-inferiority, intervals in the main table, and the CSV of cases."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from reports.tables.case_scores import format_case_scores

from reports.analysis.comparison import MethodComparison, compare_methods
from reports.formats import FORMATS
from reports.formats.macros import format_macros
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
    return [cell.text for cell in column.cells]


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
        "Non-inferiority of mean Dice to full, margin 1 points,",
        "Student's t tests",
        "Holm's correction over the methods",
        "n = 20 cases. One training per method: differences between trainings are not in these",
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
    assert "3 trainings per method, of which the differences are in the tests." in table.caption


def test_a_setting_without_the_reference_is_named() -> None:
    comparisons = compare_methods([make_result("lora"), make_result("linear")])
    rule = r"on brats.* must have the reference with all runs done, got 'full' not among lora, l"
    with pytest.raises(ValueError, match=rule):
        noninferiority_tables(comparisons)


def test_all_has_the_table_and_passes_the_options_on() -> None:
    request = ReportRequest(kind="all", versus="linear", margin_points=3.0)
    tables = build_tables(read_fixture(), request, per_dataset=False)
    found = [table for table in tables if table.kind == "noninferiority"]
    assert [table.caption[0].partition(" on ")[0] for table in found] == [
        "Non-inferiority of mean Dice to linear, margin 3 points,"
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
        assert rf"\textbf{{{best.text}}}" in text
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
    rows = list(csv.DictReader(io.StringIO(format_case_scores(comparison))))
    assert list(rows[0]) == ["case", *METHODS]
    assert len(rows) == 6
    scores = comparison.scores
    assert float(rows[2]["lora"]) == pytest.approx(scores["lora"].iloc[2])


def test_a_csv_of_cases_needs_a_ranked_method() -> None:
    failed = replace(make_result("lora"), cases=())
    (comparison,) = compare_methods([failed])
    with pytest.raises(ValueError, match="must have a method with all runs done, got none"):
        format_case_scores(comparison)
