"""One HTML page with everything: it needs no network and no other file, and is opened by a double-click.

Template, style and script lie in ``reports/page``; they become one file here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.analysis.comparison import MethodComparison
from reports.figures.gallery import Picture
from reports.page.facts import describe_cases, describe_run, list_environments, list_protocols
from reports.records.run import RunResult, Status
from reports.tables.table import BEST, SECOND, Cell, Column, Table, span_heads

FOLDER = Path(__file__).parent
PLACES = {BEST: "best", SECOND: "second", 0: ""}


@dataclass(frozen=True)
class Page:
    """What goes onto the page; ``drawn`` has the SVG of each picture, ``absent`` why others are not there."""

    results: Sequence[RunResult]
    summaries: Sequence[MethodComparison]
    tables: Sequence[Table]
    drawn: Sequence[tuple[Picture, str]]
    absent: Sequence[str]


def format_page(page: Page) -> str:
    """Return the text of the file."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    panels = {
        f"{picture.setting}/{picture.case}": picture.slug
        for picture, _ in page.drawn
        if picture.case
    }
    cases = describe_cases(page.summaries, panels)
    return environment.get_template("page.html").render(
        style=Markup((FOLDER / "page.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
        synthetic=any(run.synthetic for run in page.results),
        facts=list(_list_facts(page.results)),
        tables=[_describe_table(table) for table in page.tables],
        pictures=_group_pictures(page.drawn),
        absent=page.absent,
        cases=cases,
        data=Markup(
            json.dumps(cases, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
        ),
        runs=[describe_run(run) for run in page.results],
        protocols=list_protocols(page.results),
        environments=list_environments(page.results),
    )


def _list_facts(results: Sequence[RunResult]) -> Iterator[tuple[str, str]]:
    """Yield the numbers at the top of the page: what is counted, and how many there are."""
    done = sum(run.status == Status.DONE for run in results)
    yield "runs done", f"{done} of {len(results)}"
    for word, name in (("methods", "label"), ("data sets", "dataset"), ("backbones", "backbone")):
        yield word, str(len({getattr(run, name) for run in results}))
    yield "folds × seeds", str(len({(run.fold, run.seed) for run in results}))
    yield (
        "held-out cases",
        str(len({(run.dataset, row.case) for run in results for row in run.cases})),
    )


def _describe_table(table: Table) -> dict[str, Any]:
    return {
        "slug": table.slug,
        "kind": table.kind,
        "title": table.title,
        "head_rows": list(span_heads(table.columns)),
        "columns": table.columns,
        "rows": [_describe_row(table, row) for row in range(table.n_rows)],
        "caption": " ".join(table.caption),
        "notes": table.notes,
        "runs": [line.split(": ", 1) for line in table.comments],
    }


def _describe_row(table: Table, row: int) -> list[dict[str, Any]]:
    return [_describe_cell(column, column.cells[row]) for column in table.columns]


def _describe_cell(column: Column, cell: Cell) -> dict[str, Any]:
    number, _, spread = cell.text.partition(" ± ")
    return {
        "text": cell.text if column.words else number,
        "spread": "" if column.words else spread,
        "value": "" if isnan(cell.value) else f"{cell.value:.12g}",
        "place": PLACES[cell.place],
        "tied": cell.tied,
        "words": column.words,
    }


def _group_pictures(drawn: Sequence[tuple[Picture, str]]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for picture, svg in drawn:
        entry = {
            "slug": picture.slug,
            "title": picture.title,
            "caption": picture.caption,
            "svg": Markup(svg),
        }
        groups.setdefault(picture.setting, []).append(entry)
    return list(groups.items())
