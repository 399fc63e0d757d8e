"""All tables and pictures of a store, made in memory first: bad input leaves no file behind."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.figures.gallery import Wanted, iter_pictures
from reports.figures.picture import Picture
from reports.figures.qualitative import ReadSlices
from reports.figures.rendering import render_one, start_renderers
from reports.figures.style import assign_looks
from reports.formats.latex import DEFAULT, NOTES, describe_all, format_latex, read_printing
from reports.formats.macros import format_macros
from reports.formats.markdown import format_markdown
from reports.formats.spreadsheet import format_case_scores, format_csv
from reports.formats.tex.venues import Printing
from reports.page.page import Page, format_page
from reports.page.panels import collect_panels
from reports.records.run import RunResult
from reports.records.study import StudyRecord
from reports.tables.assemble import name_setting
from reports.tables.build import ReportRequest, build_tables_of, summarise
from reports.tables.families import find_families
from reports.tables.kinds.main import main_tables
from reports.tables.kinds.tuning import tuning_tables
from reports.tables.table import Table, make_slug

TABLES, FIGURES, CASES, PAGE, MACROS = "tables", "figures", "cases", "index.html", "macros.tex"


@dataclass(frozen=True)
class CaseScores:
    """The mean Dice of each case of a setting, under the name of its file."""

    slug: str
    scores: pd.DataFrame  # (cases x methods)


Named = TypeVar("Named", Table, Picture, CaseScores)


@dataclass(frozen=True)
class Contents:
    """What a portfolio is made of."""

    results: Sequence[RunResult]  # in the order of the tables
    studies: Sequence[StudyRecord]
    read_slices: ReadSlices
    families: Mapping[str, str]  # of all methods, in the order in which they get markers


@dataclass(frozen=True)
class Portfolio:
    """A page, and its pictures with the files of each by format."""

    page: Page
    pictures: Sequence[Picture]
    rendered: Sequence[dict[str, bytes]]
    printing: Printing = DEFAULT

    @property
    def remarks(self) -> list[str]:
        """How LaTeX layouts differ from the tables."""
        return describe_all(self.page.tables, self.printing)[1]


def build_portfolio(of: Contents, request: ReportRequest, formats: Sequence[str]) -> Portfolio:
    """Return the page and every picture in these formats (pdf, png, svg).

    Raises: ValueError in one sentence if the results cannot be compared.
    """
    with start_renderers() as renderers:
        summaries = summarise(of.results, request)
        labels = {(run.method, run.label) for run in of.results}
        labels |= {(study.method.partition("[")[0], study.method) for study in of.studies}
        families = {**of.families, **find_families(of.results)}
        looks = assign_looks(labels, families, request.names)
        wanted = Wanted(request.names, request.versus, request.margin_points)
        planned = iter_pictures(summaries, of.studies, of.read_slices, looks, wanted)
        drawing, undrawn = start_drawing(renderers, planned, formats)
        panels = collect_panels(summaries, of.read_slices)
        tables, absent = build_tables_of(summaries, request, per_dataset=request.per_dataset)
        rendered = [files.result() for _, files in drawing]
    pictures = [picture for picture, _ in drawing]
    drawn = []
    for picture, files in zip(pictures, rendered, strict=True):
        if "svg" in files:
            drawn.append((picture, files["svg"].decode()))
    tables = make_unique([*tables, *tuning_tables(of.studies, request.names)])
    missing = [*absent, *undrawn]
    page = Page(of.results, summaries, tables, drawn, missing, request.names, of.studies, panels)
    return Portfolio(page, pictures, rendered, read_printing(request))


def start_drawing(
    renderers: Executor, planned: Iterable[Picture | str], formats: Sequence[str]
) -> tuple[list[tuple[Picture, Future[dict[str, bytes]]]], list[str]]:
    """Draw each picture while the next is planned; return what will be its files.

    Returns: the pictures with their files, and the sentences for those that cannot be drawn.
    """
    drawing = []
    undrawn: dict[str, None] = {}
    taken: set[str] = set()
    for found in planned:
        if isinstance(found, str):
            undrawn[found] = None
            continue
        picture = _name_apart(found, taken)
        own = list_formats(picture, formats)
        if own:
            drawing.append((picture, renderers.submit(render_one, picture, own)))
    return drawing, list(undrawn)


def list_formats(picture: Picture, formats: Sequence[str]) -> list[str]:
    """Return in which formats a picture is drawn: the page has other panels of cases."""
    return [name for name in formats if not (picture.case and name == "svg")]


def make_unique(items: Sequence[Named]) -> list[Named]:
    """Return tables or pictures with a number after each slug that an earlier one has.

    Small and capital letters count as equal, as they do in the file names of some systems.
    """
    taken: set[str] = set()
    return [_name_apart(item, taken) for item in items]


def _name_apart(item: Named, taken: set[str]) -> Named:
    """Return a table or picture under a slug that is not ``taken``, and add it there."""
    slug = item.slug
    for number in count(2):
        if slug.lower() not in taken:
            break
        slug = f"{item.slug}-{number}"
    taken.add(slug.lower())
    return item if slug == item.slug else replace(item, slug=slug)


def name_files(portfolio: Portfolio) -> dict[str, bytes]:
    """Return every file of the folder by its name."""
    page = portfolio.page
    files = {PAGE: format_page(page), MACROS: format_macros(main_tables(page.summaries))}
    for sheet in _list_case_scores(page.summaries):
        files[f"{CASES}/{sheet.slug}.csv"] = format_case_scores(sheet.scores)
    for table in page.tables:
        files[f"{TABLES}/{table.slug}.tex"] = format_latex(table, portfolio.printing)
        files[f"{TABLES}/{table.slug}.md"] = format_markdown(table)
        files[f"{TABLES}/{table.slug}.csv"] = format_csv(table)
    files[f"{TABLES}/{NOTES}"] = describe_all(page.tables, portfolio.printing)[0]
    found = {name: text.encode() for name, text in files.items()}
    for picture, contents in zip(portfolio.pictures, portfolio.rendered, strict=True):
        for suffix in ("pdf", "png"):
            found[f"{FIGURES}/{picture.slug}.{suffix}"] = contents[suffix]
    return found


def _list_case_scores(summaries: Sequence[MethodComparison]) -> list[CaseScores]:
    found = []
    for comparison in summaries:
        if not comparison.scores.empty:
            slug = make_slug("dice", *name_setting(comparison.setting))
            found.append(CaseScores(slug, comparison.scores))
    return make_unique(found)
