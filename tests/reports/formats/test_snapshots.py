"""Every format of the tables of the committed fixture, letter by letter.

`python -m tests.reports.formats.test_snapshots` renews the files.
Look at the difference before you commit a renewed file.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reports.analysis.comparison import compare_methods
from reports.formats.latex import format_all, format_latex
from reports.formats.macros import format_macros
from reports.formats.markdown import format_markdown
from reports.formats.spreadsheet import format_csv
from reports.formats.terminal import build_terminal_table, fit_columns
from reports.records.run import RunResult
from reports.tables.build import ReportRequest, build_tables
from reports.tables.kinds.main import main_tables
from reports.tables.table import Table
from tests.reports.made_results import FIXTURE, SHIFT, make_fixture, make_result, read_fixture

EXPECTED = FIXTURE.parent / "expected"


def print_terminal(table: Table) -> str:
    console = Console(width=160, force_terminal=True, color_system="standard", _environ={})
    with console.capture() as capture:
        console.print(build_terminal_table(fit_columns(table, console)))
    return capture.get()


FORMATS: dict[str, Callable[[Table], str]] = {
    "tex": format_latex,
    "md": format_markdown,
    "csv": format_csv,
    "ansi": print_terminal,
}


def write_all(results: Sequence[RunResult]) -> dict[str, str]:
    """Return the text of every file that the fixture gives."""
    tables = build_tables(results, ReportRequest(kind="all"), per_dataset=False)
    files = {
        f"{table.slug}.{suffix}": show(table)
        for table in tables
        for suffix, show in FORMATS.items()
    }
    return files | {"macros.tex": format_macros(tables), "notes.tex": format_all(tables)[1]}


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return write_all(read_fixture())


def test_the_committed_fixture_is_what_its_formula_gives() -> None:
    assert read_fixture() == make_fixture()
    assert all(result.run_id.startswith("fixture-") for result in read_fixture())


def test_every_format_is_as_committed(written: dict[str, str]) -> None:
    assert set(written) == {file.name for file in EXPECTED.iterdir()}
    assert len(written) == 9 * len(FORMATS) + 2
    for name, text in written.items():
        assert text == (EXPECTED / name).read_text(), name


def test_changing_one_number_changes_one_cell(written: dict[str, str]) -> None:
    changed = [
        replace(result, cost=replace(result.cost, delta_mib=9.5))
        if result.cost and (result.dataset, result.label) == ("brats", "linear")
        else result
        for result in read_fixture()
    ]
    renewed = write_all(changed)
    differing = {name for name, text in renewed.items() if text != written[name]}
    efficiency = "efficiency-brats-tiny-vit-none"
    assert differing == {*(f"{efficiency}.{suffix}" for suffix in FORMATS), "macros.tex"}
    for suffix in ("tex", "md", "csv"):
        name = f"{efficiency}.{suffix}"
        before, after = (re.split(r"[&|,\n]", text) for text in (written[name], renewed[name]))
        pairs = [
            (one.strip(), two.strip()) for one, two in zip(before, after, strict=True) if one != two
        ]
        assert len(pairs) == 1
        assert float(pairs[0][1]) == 9.5


def test_changing_one_score_changes_its_region_and_the_mean(written: dict[str, str]) -> None:
    results = read_fixture()
    index = next(
        i
        for i, result in enumerate(results)
        if (result.dataset, result.label) == ("brats", "linear")
    )
    first = results[index].cases[0]
    assert first.region == "WT"
    results[index] = replace(
        results[index], cases=(replace(first, dice=first.dice + 0.02), *results[index].cases[1:])
    )
    name = "main-brats-kits-tiny-vit-none.csv"
    before, after = (text.splitlines() for text in (written[name], write_all(results)[name]))
    (line,) = [number for number, row in enumerate(before) if row != after[number]]
    heads, old, new = before[0].split(","), before[line].split(","), after[line].split(",")
    differing = [head for head, one, two in zip(heads, old, new, strict=True) if one != two]
    assert differing == [
        "brats:dice/WT",
        "brats:dice/WT_sd",
        "brats:dice/mean",
        "brats:dice/mean_sd",
    ]


def test_latex_is_balanced_and_ascii(written: dict[str, str]) -> None:
    checked = 0
    for name, text in written.items():
        if name.endswith(".tex") and name not in ("macros.tex", "notes.tex"):
            body = "\n".join(line for line in text.splitlines() if not line.startswith("% "))
            assert body.isascii()
            bare = re.sub(r"\\[&%$#_{}]", "", body)
            assert bare.count("{") == bare.count("}")
            assert bare.count("$") % 2 == 0
            for sheet in re.split(r"\\begin\{(?:sideways)?table\*?\}", bare)[1:]:
                counts = {count_cells(row) for row in sheet.splitlines() if row.endswith(r"\\")}
                assert len(counts) == 1
                checked += 1
    assert checked == 10  # one is split by data set


def count_cells(row: str) -> int:
    spans = re.findall(r"\\multicolumn\{(\d+)\}", row)
    return row.count("&") + 1 + sum(int(width) - 1 for width in spans)


@pytest.mark.parametrize("suffix", ["tex", "md", "ansi"])
def test_every_format_says_synthetic_and_shows_failures(
    written: dict[str, str], suffix: str
) -> None:
    text = written[f"main-brats-kits-tiny-vit-none.{suffix}"]
    if suffix == "tex":
        text += written["notes.tex"]
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    for words in (
        "SYNTHETIC",
        "random initialisation",
        "oom",
        "skipped",
        "missing",
        "3 of 4 runs",
        "kitinoall",
    ):
        assert words in text


def test_a_narrow_terminal_leaves_out_optional_columns_and_names_them() -> None:
    (table,) = main_tables(compare_methods([make_result(name) for name in SHIFT]))
    keys = [column.key for column in table.columns]
    assert [column.key for column in fit_columns(table, Console(width=200)).columns] == keys
    narrow = fit_columns(table, Console(width=80))
    left_out = ["trained_m", "trained_pct", "total_m", "total_pct"]
    assert [key for key in keys if key not in left_out] == [each.key for each in narrow.columns]
    assert ", ".join(left_out) in narrow.notes[-1]


def test_run_ids_are_in_comments(written: dict[str, str]) -> None:
    for suffix, form in (
        ("tex", "% lora: fixture-brats-lora-none-all-f0-s0 (done)\n"),
        ("md", "\nlora: fixture-brats-"),
    ):
        assert form in written[f"main-brats-kits-tiny-vit-none.{suffix}"]


if __name__ == "__main__":
    EXPECTED.mkdir(exist_ok=True)
    for file in EXPECTED.iterdir():
        file.unlink()
    for name, text in write_all(read_fixture()).items():
        Path(EXPECTED, name).write_text(text)
