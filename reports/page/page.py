"""One HTML page with everything, which needs no network and no other file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from reports.analysis.comparison import MethodComparison
from reports.figures.picture import Picture
from reports.names import BUILT_IN_NAMES, Names
from reports.page import facts
from reports.page.differences import list_differences
from reports.page.facets import FAMILY, Facets
from reports.page.panels import Found
from reports.records.run import RunResult
from reports.records.study import StudyRecord
from reports.tables.table import Column, Table, span_heads

FOLDER = Path(__file__).parent
SCRIPTS = ("page.js", "explorer.js")


@dataclass(frozen=True)
class Page:
    """What goes onto the page."""

    results: Sequence[RunResult]
    summaries: Sequence[MethodComparison]
    tables: Sequence[Table]
    drawn: Sequence[tuple[Picture, str]]  # with the SVG of each
    absent: Sequence[str]  # why other tables and pictures are missing
    names: Names = BUILT_IN_NAMES
    studies: Sequence[StudyRecord] = ()
    panels: Found = field(default_factory=dict)


class Span(NamedTuple):
    """A heading over several columns."""

    name: str
    width: int  # in columns
    mark: Markup  # attributes


def format_page(page: Page) -> str:
    """Return the text of the file."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sort_value": facts.sort_value, "dice": facts.mean_dice_pct}
    facets = Facets(page.results, page.studies, page.names)
    settings = _describe_settings(page, facets)
    data = htmlsafe_json_dumps(settings, separators=(",", ":"), allow_nan=False)
    return environment.get_template("page.html").render(
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup((FOLDER / name).read_text(encoding="utf-8")) for name in SCRIPTS],
        synthetic=facts.describe_synthetic(page.results, page.names),
        facts=facts.count_facts(page.results),
        facets=facets,
        span=lambda columns: _span_heads(columns, facets),
        tables=page.tables,
        pictures=_group_pictures(page),
        marks={each.title: facets.mark_setting(each) for each in page.summaries},
        absent=page.absent,
        settings=settings,
        data=data,
        runs=page.results,
        names=page.names,
        name_dataset=facts.name_dataset_of,
        protocols=facts.list_protocols(page.results, page.names),
        environments=facts.list_environments(page.results),
    )


def _describe_settings(page: Page, facets: Facets) -> list[dict[str, Any]]:
    """Return what the page shows of the cases of each setting, as plain data."""
    found = []
    for comparison in page.summaries:
        if comparison.cases.empty or comparison.mixed:
            continue
        setting = facts.describe_cases(comparison, page.panels)
        differences = list_differences(comparison)
        if differences is not None:
            differences[FAMILY] = facets.number_families(differences["labels"])
        setting |= {
            FAMILY: facets.number_families(setting["labels"]),
            "differences": differences,
            **facets.number_setting(comparison),
        }
        found.append(setting)
    return found


def _group_pictures(page: Page) -> Mapping[str, Sequence[tuple[Picture, Markup]]]:
    """Return the pictures below the headings of their settings."""
    pictures: dict[str, list[tuple[Picture, Markup]]] = {}
    for picture, svg in page.drawn:
        pictures.setdefault(picture.setting, []).append((picture, Markup(svg)))
    return pictures


def _span_heads(columns: Sequence[Column], facets: Facets) -> Iterator[list[Span]]:
    """Yield the rows of headings that span columns."""
    for row in span_heads(columns):
        spans, start = [], 0
        for name, width in row:
            mark = facets.mark_columns(columns[start : start + width])
            spans.append(Span(name, width, mark))
            start += width
        yield spans
