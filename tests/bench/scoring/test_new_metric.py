"""A new metric is one record and one line: it is found wherever the others are."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from bench.scoring.metrics import MEASURES, MaskPair
from bench.specs.run import RunSpec
from bench.tracking.results import CASE_FILE, metrics, texts
from reports.analysis.aggregates import aggregate_regions
from reports.analysis.comparison import compare_methods
from reports.formats import FORMATS
from reports.page.page import Page, format_page
from reports.records.metrics import METRICS, EmptyScores, Metric
from reports.records.plain import to_plain
from reports.records.run import RESULT_FILE, RunResult, describe_schema, read_result
from reports.tables.kinds.main import main_table

ERROR = Metric(
    name="volume_error",
    title="Volume error",
    unit="%",
    largest_first=False,
    factor=100.0,
    definition="difference of the volumes over that of the reference",
    empty={"brats": EmptyScores(both=0.0, miss=1.0)},
)


def measure_volume_error(pair: MaskPair) -> float:
    n_reference = int(pair.reference.sum())
    return abs(int(pair.prediction.sum()) - n_reference) / n_reference


@pytest.fixture
def finished(
    make_run: Callable[..., RunSpec],
    carry_out: Callable[..., RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[RunResult, Path]:
    """A run that was scored by one metric more, and its folder."""
    monkeypatch.setitem(METRICS, ERROR.name, ERROR)
    monkeypatch.setitem(MEASURES, ERROR.name, measure_volume_error)
    folder = tmp_path / "run"
    return carry_out(make_run("linear"), folder), folder


def test_a_new_metric_is_found_wherever_the_others_are(finished, tmp_path):
    result, folder = finished
    expected = [
        (0.0 if not row.n_predicted_vox else math.nan)
        if not row.n_reference_vox
        else abs(row.n_predicted_vox - row.n_reference_vox) / row.n_reference_vox
        for row in result.cases
    ]
    assert len(expected) == 6
    found = [row.score("volume_error") for row in result.cases]
    assert found == pytest.approx(expected, nan_ok=True)

    record = json.loads((folder / RESULT_FILE).read_text())
    assert [list(row)[-1] for row in record["cases"]] == ["volume_error"] * 6
    jsonschema.validate(record, describe_schema())
    assert "volume_error" in describe_schema()["$defs"]["CaseScore"]["properties"]
    assert repr(read_result(folder).cases) == repr(result.cases)

    mean = dict((name, value) for name, value, _ in metrics(result))["volume_error/mean"]
    assert mean == pytest.approx(sum(value for value in found if value == value) / 6)
    assert "volume_error" in json.loads(texts(result)[CASE_FILE])["columns"]
    regions = to_plain(aggregate_regions(result.cases), "regions")
    assert [region["volume_error"]["all"]["n"] for region in regions] == [2, 2, 2]

    comparisons = compare_methods([result])
    table = main_table(comparisons)
    assert "brats:volume_error/mean" in [column.key for column in table.columns]
    assert any(line.startswith("Volume error: difference of the volumes") for line in table.caption)
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"](table)))
    assert float(row["brats:volume_error/mean"]) == pytest.approx(100 * mean)
    page = format_page(Page([result], comparisons, [table], [], []))
    assert page.count("Volume error (%)") == 2  # a column of the table, and one of the cases


def test_a_result_without_the_metric_is_still_read(make_run, carry_out, tmp_path, monkeypatch):
    carry_out(make_run("linear"), tmp_path)
    monkeypatch.setitem(METRICS, ERROR.name, ERROR)
    old = read_result(tmp_path)
    assert old is not None
    jsonschema.validate(json.loads((tmp_path / RESULT_FILE).read_text()), describe_schema())
    assert all(math.isnan(row.score("volume_error")) for row in old.cases)
    assert not any(name.startswith("volume_error") for name, _, _ in metrics(old))
    assert "brats:volume_error/mean" not in [
        column.key for column in main_table(compare_methods([old])).columns
    ]
