"""One HTML page with everything, which needs no network and no other file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from reports.analysis.comparison import MethodComparison
from reports.figures.picture import Picture
from reports.formats.spreadsheet import format_number
from reports.names import BUILT_IN_NAMES, Names
from reports.page import facts
from reports.records.run import RunResult
from reports.tables.table import Table, span_heads

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """What goes onto the page."""

    results: Sequence[RunResult]
    summaries: Sequence[MethodComparison]
    tables: Sequence[Table]
    drawn: Sequence[tuple[Picture, str]]  # with the SVG of each
    absent: Sequence[str]  # why other tables and pictures are missing
    names: Names = BUILT_IN_NAMES


def format_page(page: Page) -> str:
    """Return the text of the file."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": format_number,
        "span": span_heads,
        "dice": facts.mean_dice_pct,
    }
    pictures: dict[str, list[tuple[Picture, Markup]]] = {}
    panels = {}
    for picture, svg in page.drawn:
        pictures.setdefault(picture.setting, []).append((picture, Markup(svg)))
        if picture.case:
            panels[picture.setting, picture.case] = f"picture-{picture.slug}"
    cases = facts.describe_cases(page.summaries, panels)
    data = htmlsafe_json_dumps(cases, separators=(",", ":"), allow_nan=False)
    return environment.get_template("page.html").render(
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
        synthetic=facts.describe_synthetic(page.results, page.names),
        facts=facts.count_facts(page.results),
        tables=page.tables,
        pictures=pictures,
        absent=page.absent,
        cases=cases,
        data=data,
        runs=page.results,
        names=page.names,
        name_dataset=facts.name_dataset_of,
        protocols=facts.list_protocols(page.results, page.names),
        environments=facts.list_environments(page.results),
    )
