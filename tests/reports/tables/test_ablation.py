"""The ablation: columns of swept settings, check marks of components."""

from reports.analysis.comparison import compare_methods
from reports.formats.latex import format_latex
from reports.tables.build import KINDS
from reports.tables.table import Table
from tests.reports.made_results import make_result, read_fixture


def find_one(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def texts(table: Table, key: str) -> list[str]:
    (column,) = [each for each in table.columns if each.key == key]
    return [cell.own_key for cell in column.cells]


def test_ablation_shows_what_was_swept() -> None:
    table = find_one(KINDS["ablation"](compare_methods(read_fixture())))
    assert texts(table, "rank") == ["8", "4"]
    assert texts(table, "method") == ["lora", "lora[rank=4]"]
    assert table.notes == ()


def test_components_of_a_method_have_check_marks() -> None:
    on = {"fourier": True, "conv3": True, "ratio": 6}
    variants = {
        "med_adapter": on,
        "med_adapter[fourier=false]": on | {"fourier": False},
        "med_adapter[ratio=4,conv3=false]": on | {"conv3": False, "ratio": 4},
    }
    runs = [
        make_result("med_adapter", label=label, settings=settings)
        for label, settings in variants.items()
    ]
    table = find_one(KINDS["ablation"](compare_methods(runs)))
    columns = {each.key: each for each in table.columns}
    assert [cell.text for cell in columns["fourier"].cells] == ["✓", "✗", "✓"]
    assert [cell.text for cell in columns["conv3"].cells] == ["✓", "✓", "✗"]
    assert columns["fourier"].heads[-2:] == ("Components", "Fourier branch")
    shown = [cell.text for cell in columns["method"].cells]
    assert shown == ["Med-Adapter", "Med-Adapter", "Med-Adapter [ratio 4]"]
    assert texts(table, "method") == list(variants), "CSV and options have the whole labels"
    assert texts(table, "fourier") == ["true", "false", "true"]
    assert "✓: the component is on; ✗: it is off." in table.caption
    text = format_latex(table)
    assert r"\usepackage{booktabs,siunitx,graphicx" in text
    assert "amssymb" in text.split("\n")[0]
    assert text.count(r"\checkmark\else") == 4
