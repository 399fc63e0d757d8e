"""Tables compile for every venue: nothing is too wide, no letter too small, no caption too long."""

import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.formats.latex import format_all
from reports.formats.macros import format_macros
from reports.formats.tex.captions import write_caption
from reports.formats.tex.layout import Form, plan_sheets
from reports.formats.tex.signs import escape
from reports.formats.tex.venues import VENUES, Printing, Venue
from reports.names import Names
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult
from reports.tables.build import ReportRequest, build_tables
from reports.tables.table import Table
from tests.reports.made_results import make_result, read_fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pdflatex") is None, reason="pdflatex is not installed (texlive-latex-extra)"
    ),
]

PACKAGES = r"\usepackage{booktabs,siunitx,graphicx,rotating,longtable}"
LEAST_PT = 6.0
DOCUMENTS = {
    **{venue.document: venue.name for venue in VENUES.values()},
    r"\documentclass[twocolumn]{article}": "article",
    r"\documentclass[5p]{elsarticle}": "elsevier",
}


def compile_tex(folder: Path, text: str, program: str = "pdflatex") -> str:
    """Compile twice, so that labels are resolved, and return the log."""
    (folder / "paper.tex").write_text(text)
    for _ in range(2):
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "paper.log").read_text(errors="replace")


def print_tables(folder: Path, document: str, tables: list[Table], names: str = "") -> str:
    """Compile tables and their notes, check what is too wide, and return the LaTeX."""
    text, notes, _ = format_all(tables, Printing(VENUES[DOCUMENTS[document]]))
    (folder / "tables.tex").write_text(text)
    (folder / "notes.tex").write_text(notes)
    inputs = rf"{names}\input{{tables.tex}}\clearpage\input{{notes.tex}}"
    whole = f"{document}\n{PACKAGES}\n\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    log = compile_tex(folder, whole)
    for trouble in ("Overfull \\hbox", "Float too large", "LaTeX Warning: Reference"):
        assert trouble not in log
    assert find_smallest_pt(folder / "paper.pdf") >= LEAST_PT
    return text


def find_smallest_pt(file: Path) -> float:
    """Return the size of the smallest letters of a PDF, as scaled on the page."""
    sizes: list[float] = []

    def visit(text: str, cm: list[float], tm: list[float], font: object, size: float) -> None:
        if text.strip():
            scale = abs((tm[0] * tm[3] - tm[1] * tm[2]) * (cm[0] * cm[3] - cm[1] * cm[2]))
            sizes.append(size * math.sqrt(scale))

    for page in PdfReader(file).pages:
        page.extract_text(visitor_text=visit)
    assert len(sizes) > 10
    return min(sizes)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_kind_of_table_is_printed(tmp_path: Path, document: str) -> None:
    tables = build_tables(read_fixture(), ReportRequest(kind="all"), per_dataset=False)
    assert len(tables) == 9
    print_tables(tmp_path, document, tables)


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
    names = {f"lora[rank={each + 1}]": f"β-LoRA [ours] 50 % & more_ {each}" for each in range(60)}
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


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_captions_have_at_most_three_lines(tmp_path: Path, venue: Venue) -> None:
    how = Printing(venue)
    boxes = []
    for table in build_tables(read_fixture(), ReportRequest(kind="all"), per_dataset=False):
        for sheet in plan_sheets(table, venue):
            turned = sheet.form is Form.TURNED
            width = venue.caption_width_pt(sheet.form is Form.COLUMN, turned)
            words = rf"Table 10: {write_caption(sheet, how)}\par\typeout{{LINES \the\prevgraf}}"
            boxes.append(rf"\parbox{{{width}pt}}{{{words}}}")
    size = rf"\fontsize{{{venue.caption_pt}}}{{12}}\selectfont"
    body = "\n\n".join([rf"{venue.document}{PACKAGES}\begin{{document}}{size}", *boxes])
    log = compile_tex(tmp_path, rf"{body}\end{{document}}")
    counts = list(map(int, re.findall(r"LINES (\d+)", log)))
    assert len(counts) == len(boxes) >= 9
    assert max(counts) <= 3


@pytest.mark.parametrize("program", ["pdflatex", "lualatex"])
def test_any_sign_compiles(tmp_path: Path, program: str) -> None:
    ranges = ((0x20, 0x250), (0x300, 0x500), (0x2010, 0x2050), (0x2190, 0x2300), (0x2700, 0x2720))
    signs = [chr(code) for low, high in ranges for code in range(low, high)]
    text = "\n".join(f"x{escape(sign)}y" for sign in [*signs, "中", "\U0001f9e0"])
    start = r"\documentclass{article}\begin{document}\raggedright"
    compile_tex(tmp_path, f"{start}\n{text}\n\\end{{document}}", program)
