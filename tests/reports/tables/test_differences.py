"""Differences with their intervals, as cells and in other formats."""

import csv
from io import StringIO

import pytest

from reports.analysis.comparison import compare_methods
from reports.analysis.paired.intervals import Interval
from reports.analysis.statistics import compare_with
from reports.formats.spreadsheet import format_csv
from reports.tables.kinds.differences import comparison_tables, interval_cell
from reports.tables.table import add_interval, number_cell
from tests.reports.made_results import make_result


def test_csv_has_differences_and_the_ends_of_their_intervals_unrounded() -> None:
    compared = compare_methods([make_result(name) for name in ("full", "lora")])
    (table,) = comparison_tables(compared)
    (row,) = csv.DictReader(StringIO(format_csv(table)))
    difference = compare_with(compared[0].scores, "full", compared[0].runs)["difference"][0]
    assert float(row["difference"]) == pytest.approx(100 * difference.value, abs=1e-9)
    assert float(row["difference_low"]) == pytest.approx(100 * difference.low, abs=1e-9)
    assert float(row["difference_high"]) == pytest.approx(100 * difference.high, abs=1e-9)


def test_a_zero_has_no_minus_sign() -> None:
    assert interval_cell(Interval(-0.0001, -0.0002, 0.0001)).text == "+0.0 [+0.0, +0.0]"
    assert number_cell(-0.04, 1).text == "0.0"
    assert add_interval(number_cell(1.0, 1), 1, (-0.04, 2), rough=False).text == "1.0 [0.0, 2.0]"
    assert number_cell(-0.06, 1).text == "-0.1"
