"""The layout of a table: the first that fits, and what it says of itself."""

from dataclasses import replace

import pytest

from reports.analysis.comparison import compare_methods
from reports.formats.latex import format_all, format_latex
from reports.formats.tex.layout import Form, plan_sheets
from reports.formats.tex.venues import VENUES, Printing
from reports.names import Names
from reports.tables.kinds.main import main_table
from reports.tables.table import Cell, Column, Table
from tests.reports.made_results import make_result, read_fixture

LNCS = VENUES["lncs"]


def make_table(n_columns: int, n_rows: int = 3, dataset: str = "") -> Table:
    """Return a table of a column of names and columns of numbers."""
    numbers = tuple(Cell("12.3 ± 4.5", 12.3, 4.5) for _ in range(n_rows))
    columns = [Column("method", ("", "Method"), (Cell("LoRA"),) * n_rows, words=True)]
    for number in range(n_columns):
        prefix = f"{'abcdef'[number % 3]}:" if dataset else ""
        columns.append(Column(f"{prefix}c{number}", (prefix, f"head {number}"), numbers))
    columns[1:] = sorted(columns[1:], key=lambda column: column.key)
    return Table("main", "slug", "title", tuple(columns), ("All of it.",))


@pytest.mark.parametrize(
    ("table", "venue", "forms"),
    [
        (make_table(3), "article", [Form.FULL]),
        (make_table(3), "ieee", [Form.COLUMN]),
        (make_table(9), "article", [Form.TURNED]),
        (make_table(3, n_rows=40), "article", [Form.FULL]),
        (make_table(3, n_rows=41), "article", [Form.LONG]),
        (make_table(24, dataset="x"), "lncs", [Form.TURNED] * 3),
        (make_table(12, n_rows=60, dataset="x"), "lncs", [Form.LONG] * 3),
    ],
)
def test_the_first_layout_that_fits_is_taken(table: Table, venue: str, forms: list[Form]) -> None:
    sheets = plan_sheets(table, VENUES[venue])
    assert [sheet.form for sheet in sheets] == forms
    assert min(sheet.size_pt for sheet in sheets) >= 7
    keys = {column.key for sheet in sheets for column in sheet.table.columns}
    assert keys == {column.key for column in table.columns}


def test_columns_that_are_left_out_are_those_ranked_last_and_are_named() -> None:
    columns = [replace(each, optional=each.key == "c3") for each in make_table(30).columns]
    (sheet,) = plan_sheets(replace(make_table(30), columns=tuple(columns)), VENUES["lncs"])
    kept = [column.key for column in sheet.table.columns]
    assert "c3" not in kept
    assert kept[:3] == ["method", "c0", "c1"]
    (left_out,) = [remark for remark in sheet.remarks if "left out" in remark]
    assert "left out: c3, " in left_out
    _, notes, _ = format_all([replace(make_table(30), columns=tuple(columns))], Printing(LNCS))
    assert "left out: c3, " in notes
    lost = 30 + 1 - len(kept)
    assert left_out.count(",") >= lost - 1


def test_what_a_layout_changes_is_in_comments_and_remarks() -> None:
    table = main_table(compare_methods(read_fixture()))
    text, notes, remarks = format_all([table], Printing(VENUES["lncs"]))
    assert "too wide for lncs, so split by data set." in remarks[0]
    for remark in remarks:
        assert f"% {remark}" in text
        assert remark not in notes, "how it stands on the page is no note for readers"


def test_the_notes_have_every_sentence_once() -> None:
    tables = [main_table([each]) for each in compare_methods(read_fixture())]
    _, notes, _ = format_all(tables)
    plain = notes.replace(r"\hspace{0pt}", "")
    for words in ("HD95: the larger", "SYNTHETIC phantoms, not patient data", "Parameters in mill"):
        assert plain.count(words) == 1
    assert r"Tables}~\ref" not in plain
    assert plain.count(r"\textit{Tables~\ref{tab:main-brats-tiny-vit-none}, \ref") >= 1


def test_a_caption_of_the_user_keeps_the_warnings() -> None:
    table = main_table(compare_methods([make_result("lora"), make_result("full")]))
    how = Printing(caption="Ours, 100 % better", label="tab:ours")
    text = format_latex(table, how)
    assert r"\caption{Ours, 100 \% better SYNTHETIC phantoms, not patient data.}" in text
    assert r"\label{tab:ours}" in text


def test_the_first_line_names_signs_that_need_lualatex() -> None:
    names = Names({"lora": "LoRA 中"})
    table = main_table(compare_methods([make_result("lora"), make_result("full")], names=names))
    first = format_latex(table).splitlines()[0]
    assert first == "% needs lualatex and a font with U+4E2D; pdflatex prints these numbers"
    assert "lualatex" not in format_latex(main_table(compare_methods([make_result("lora")])))


def test_a_label_stands_as_it_was_typed_so_that_references_find_it() -> None:
    table = main_table(compare_methods([make_result("lora"), make_result("full")]))
    text = format_latex(table, Printing(label="tab:my_results--1"))
    assert r"\label{tab:my_results--1}" in text
