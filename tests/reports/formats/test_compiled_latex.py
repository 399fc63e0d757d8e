"""Tables compile for every venue: nothing is too wide, no letter too small, no caption too long."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.formats.macros import format_macros
from reports.formats.tex.signs import escape
from reports.names import Names
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult
from reports.tables.build import KINDS, ReportRequest, build_tables
from reports.tables.kinds.tuning import tuning_tables
from reports.tables.table import Table
from tests.reports.formats.printed import (
    CAPTION,
    DOCUMENTS,
    compile_tex,
    count_caption_lines,
    find_smallest_pt,
    print_tables,
)
from tests.reports.made_everything import make_everything, make_studies
from tests.reports.made_results import make_result, read_fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None, reason="pdflatex is not installed (texlive-latex-extra)"
    ),
]


@pytest.fixture(scope="module")
def every_kind() -> list[Table]:
    """The first and the last table of each kind."""
    found = build_tables(make_everything(), ReportRequest(kind="all"), per_dataset=False)
    found += tuning_tables(make_studies())
    by_kind: dict[str, dict[str, Table]] = {}
    for table in found:
        by_kind.setdefault(table.kind, {})[table.slug] = table
    assert set(by_kind) == {*KINDS, "tuning", "front"}
    tables = []
    for mine in by_kind.values():
        tables += {mine[slug].slug: mine[slug] for slug in (next(iter(mine)), [*mine][-1])}.values()
    return tables


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_kind_of_table_is_printed(
    tmp_path: Path, document: str, every_kind: list[Table]
) -> None:
    print_tables(tmp_path, document, every_kind)


def test_macros_and_labels_of_the_tables_are_found(tmp_path: Path) -> None:
    tables = build_tables(read_fixture(), ReportRequest(), per_dataset=True)
    macros = format_macros(build_tables(read_fixture(), ReportRequest(), per_dataset=False))
    number = r"LoRA reaches \benchTinyVitNoneBratsLoraDiceMean\,\%, "
    number += r"see table~\ref{tab:main-brats-tiny-vit-none}. "
    document = r"\documentclass{article}"
    print_tables(tmp_path, document, tables, f"{macros}{number}")
    first = PdfReader(tmp_path / "paper.pdf").pages[0].extract_text()
    assert "LoRA reaches 64.7" in first


def make_many() -> list[RunResult]:
    """Return 60 methods on three data sets in two releases each."""
    runs = []
    for number in range(60):
        label = f"lora[rank={number + 1}]"
        for dataset in ("brats", "kits", "lits"):
            run = make_result("lora", dataset, label=label, n_cases=4)
            for year in (2019, 2020):
                release = ReleaseRecord(f"{dataset.upper()} {year}", dataset)
                run_id = f"{run.run_id}-{year}"
                new = {"dataset": f"{dataset}{year}", "release": release, "run_id": run_id}
                runs.append(replace(run, **new))
    return runs


@pytest.fixture(scope="module")
def many_tables() -> list[Table]:
    hard = "β-LoRA [ours] 50 % & more_"
    names = {f"lora[rank={each + 1}]": f"{hard} {each}" for each in range(60)}
    request = ReportRequest(names=Names(names))
    return build_tables(make_many(), request, per_dataset=False)


@pytest.mark.parametrize("document", [r"\documentclass{llncs}", r"\documentclass{IEEEtran}"])
def test_sixty_methods_on_six_data_sets_with_hard_names(
    tmp_path: Path, document: str, many_tables: list[Table]
) -> None:
    text = print_tables(tmp_path, document, many_tables)
    assert text.count(r"\begin{longtable}") == 6
    pages = "".join(page.extract_text() for page in PdfReader(tmp_path / "paper.pdf").pages)
    assert pages.count("-LoRA [ours] 50 % &") == 6 * 60


LONG = "X" * 240


@pytest.mark.parametrize(
    "own",
    [
        {"brats": LONG, "kits": "a b " * 40},
        {"lora": LONG, "linear": "word " * 50, "full": "α" * 60},
        {"tiny_vit": f"{LONG}_{LONG}", "WT": LONG[:60], "dice": f"Dice of {LONG[:60]}"},
    ],
    ids=["data sets", "methods", "backbone and regions"],
)
def test_long_names_without_a_space_are_broken(tmp_path: Path, own: dict[str, str]) -> None:
    tables = []
    for kind in ("main", "paper"):
        request = ReportRequest(kind=kind, names=Names(own))
        tables += build_tables(read_fixture(), request, per_dataset=False)
    print_tables(tmp_path, r"\documentclass{article}", tables)


def test_what_is_measured_is_what_is_printed(tmp_path: Path) -> None:
    words = " ".join(["words"] * 50)
    start = r"\documentclass{article}\usepackage{graphicx}" + CAPTION
    small = r"\begin{table}\caption{%s}\resizebox{!}{4pt}{\Huge A small letter}\end{table}"
    log = compile_tex(
        tmp_path,
        start + r"\begin{document}" + small % words + 20 * r"\par more" + r"\end{document}",
    )
    assert count_caption_lines(log) == [5]
    assert find_smallest_pt(tmp_path / "paper.pdf") < 6


@pytest.mark.parametrize("program", ["pdflatex", "lualatex"])
def test_any_sign_compiles(tmp_path: Path, program: str) -> None:
    ranges = ((0x20, 0x250), (0x300, 0x500), (0x2010, 0x2050), (0x2190, 0x2300), (0x2700, 0x2720))
    signs = [chr(code) for low, high in ranges for code in range(low, high)]
    text = "\n".join(f"x{escape(sign)}y" for sign in [*signs, "中", "\U0001f9e0"])
    start = r"\documentclass{article}\begin{document}\raggedright"
    compile_tex(tmp_path, f"{start}\n{text}\n\\end{{document}}", program)
