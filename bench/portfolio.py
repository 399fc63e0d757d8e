"""`report --figures` and `report --format html`: everything that a store has something for, in one go.

All is made in memory first, so that bad input leaves no file behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

import methods
from bench.durable import partial_of, replace_durably, write_durably
from bench.reporting import FORMATS, ReportRequest, build_tables_of, check_out, load_results, summarise
from bench.results import RunResult
from bench.slices import SLICES_FILE, CaseSlices, read_slices
from bench.study_log import load_studies
from bench.tracking import Store, open_store
from reports.gallery import Picture, list_pictures
from reports.html import Page, format_page
from reports.macros import format_macros
from reports.main_table import main_tables
from reports.rendering import render_one, start_renderers
from reports.style import assign_looks
from reports.tuning import tuning_tables

SUFFIXES = {"latex": "tex", "markdown": "md", "csv": "csv"}
TABLES, FIGURES, PAGE, MACROS = "tables", "figures", "index.html", "macros.tex"


@dataclass(frozen=True)
class Portfolio:
    """A page, and its pictures with the files of each by format."""

    page: Page
    pictures: Sequence[Picture]
    rendered: Sequence[dict[str, bytes]]


def page_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Print the HTML page, or write it to a file.

    Raises: ValueError in one sentence if there is nothing to report or what there is cannot be compared.
    """
    check_out(out)
    text = format_page(_build(request, ("svg",)).page)
    if out is None:
        console.out(text, highlight=False)
    else:
        write_durably(out, text)


def folder_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Write tables, macros, pictures and the page into a folder, which is made; files of the same names are replaced.

    Raises: ValueError as `page_command`.
    """
    if out is None or out.is_file() or not out.resolve().parent.is_dir():
        raise ValueError(f"report: --figures must have --out FOLDER, in a folder that exists, got {out or 'none'}")
    portfolio = _build(request, ("pdf", "png", "svg"))
    files = _name_files(portfolio)
    for name, content in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(target)
        partial.write_bytes(content)
        replace_durably(partial, target)
    for sentence in portfolio.page.absent:
        console.print(f"[dim]{escape(sentence)}[/]", soft_wrap=True)
    n_pictures = len(portfolio.pictures)
    console.print(f"{len(portfolio.page.tables)} tables, {n_pictures} pictures from {len(portfolio.page.results)} runs")
    console.print(f"open:  [bold]{escape(str(out / PAGE))}[/]", soft_wrap=True)


def _build(request: ReportRequest, formats: Sequence[str]) -> Portfolio:
    with start_renderers() as renderers, tempfile.TemporaryDirectory() as scratch:
        store = open_store()
        results = load_results(store, request)
        studies = load_studies(store, request.dataset)
        summaries = summarise(results, request)
        labels = {(run.method, run.label) for run in results}
        labels |= {(study.method.partition("[")[0], study.method) for study in studies}
        slices, looks = _Slices(store, Path(scratch)), assign_looks(labels, methods.names())
        pictures, undrawn = list_pictures(summaries, studies, slices.read, looks)
        drawing = [renderers.submit(render_one, picture, formats) for picture in pictures]
        tables, absent = build_tables_of(summaries, request, per_dataset=request.per_dataset)
        rendered = [each.result() for each in drawing]
    drawn = [(picture, files["svg"].decode()) for picture, files in zip(pictures, rendered, strict=True)]
    return Portfolio(
        Page(results, summaries, [*tables, *tuning_tables(studies)], drawn, [*absent, *undrawn]), pictures, rendered
    )


def _name_files(portfolio: Portfolio) -> dict[str, bytes]:
    """Return every file of the folder by its name."""
    page = portfolio.page
    files = {PAGE: format_page(page), MACROS: format_macros(main_tables(page.summaries))}
    for table in page.tables:
        files |= {f"{TABLES}/{table.slug}.{SUFFIXES[name]}": show(table) for name, show in FORMATS.items()}
    found = {name: text.encode() for name, text in files.items()}
    for picture, formats in zip(portfolio.pictures, portfolio.rendered, strict=True):
        found |= {f"{FIGURES}/{picture.slug}.{name}": formats[name] for name in ("pdf", "png")}
    return found


@dataclass
class _Slices:
    """Reads the slices of runs from the store."""

    store: Store
    scratch: Path

    def read(self, run: RunResult, case: str) -> CaseSlices | None:
        """Return the slices of a run's case; None if the run kept none."""
        file = self.store.fetch_file(run.run_id, SLICES_FILE, self.scratch)
        return None if file is None else read_slices(file, case)
