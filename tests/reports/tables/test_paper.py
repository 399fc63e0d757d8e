"""The layout of the paper: groups of rows by backbone and pre-training, HD95 of each region."""

import csv
import io
from dataclasses import replace
from itertools import product

import pytest

from reports.analysis.comparison import compare_methods
from reports.formats.spreadsheet import format_csv
from reports.records.run import RunResult
from reports.tables.kinds.paper import paper_tables
from reports.tables.table import BEST, Table
from tests.reports.made_results import make_result

METHODS = ("linear", "lora", "full")
BLOCKS = (("tiny_vit", "none"), ("tiny_vit", "in21k"), ("swin_tiny", "in21k"))


def make_runs() -> list[RunResult]:
    """Return three methods in three settings; the last has no run on KiTS."""
    runs = []
    for (backbone, weights), dataset, method in product(BLOCKS, ("brats", "kits"), METHODS):
        run = make_result(method, dataset, backbone=backbone, weights=weights)
        assert run.cost is not None
        if backbone == "tiny_vit":
            runs.append(run)
        elif dataset == "brats":
            larger = replace(run.cost, params_total=2 * run.cost.params_total)
            runs.append(replace(run, cost=larger))
    return runs


@pytest.fixture(scope="module")
def table() -> Table:
    (found,) = paper_tables(compare_methods(make_runs()))
    return found


def test_rows_are_grouped_by_backbone_and_pretraining(table: Table) -> None:
    assert table.sections == {
        0: "Tiny ViT/8, from scratch",
        3: "Tiny ViT/8, ImageNet-21k",
        6: "Swin-T, ImageNet-21k",
    }
    assert [cell.key for cell in table.columns[0].cells] == [*METHODS] * 3


def test_columns_are_data_sets_with_every_region_of_both_metrics(table: Table) -> None:
    heads = [column.heads for column in table.columns if column.key.startswith("kits:")]
    parts = ("kidney", "tumour", "mean")
    assert heads == [
        ("KiTS", metric, part) for metric, part in product(("Dice (%)", "HD95 (mm)"), parts)
    ]
    keys = [column.key for column in table.columns]
    assert keys[:5] == ["method", "tuned_m", "trained_m", "total_m", "peak_mib"]
    assert keys[5] == "brats:dice/WT"


def test_numbers_are_those_of_each_setting(table: Table) -> None:
    comparisons = compare_methods(make_runs())
    cells = {column.key: column.cells for column in table.columns}
    swin = next(each for each in comparisons if each.setting.backbone == "swin_tiny")
    shown = [cell.value for cell in cells["brats:hd95_mm/TC"][6:]]
    assert shown == pytest.approx(swin.rows["hd95_mm/TC"].tolist())
    assert [cell.text for cell in cells["kits:dice/mean"][6:]] == ["–"] * 3
    best = [cell.place == BEST for cell in cells["brats:dice/mean"]]
    assert [sum(best[start : start + 3]) for start in (0, 3, 6)] == [1, 1, 1]


def test_the_caption_says_in_what_the_groups_differ(table: Table) -> None:
    caption = " ".join(table.caption)
    assert "which differ in dataset, model.backbone, model.weights alone." in caption
    assert "within each group of rows" in caption
    assert "means over the data sets" not in caption
    changed = [replace(run, protocol=run.protocol | {"eval": {"overlap": 0.5}}, protocol_id="x")
               if run.backbone == "swin_tiny" else run for run in make_runs()]  # fmt: skip
    (other,) = paper_tables(compare_methods(changed))
    assert "which DIFFER in eval.overlap (BraTS on Tiny ViT/8" in " ".join(other.caption)
    assert "Protocols DIFFER (notes)." in other.warnings


def test_csv_has_the_group_of_each_row(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(format_csv(table))))
    assert [row["section"] for row in rows[::3]] == list(table.sections.values())


def test_one_setting_has_a_table_where_it_is_asked_for() -> None:
    one = compare_methods([make_result(name) for name in METHODS])
    (alone,) = paper_tables(one)
    assert alone.sections == {0: "Tiny ViT/8, from scratch"}
    with pytest.raises(ValueError, match="must have several backbones or pre-trainings, got none"):
        paper_tables(one, several=True)
