"""What the tables over methods share: rows, columns of scores and costs, title and caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import COSTS, list_shown, score_keys
from reports.records.metrics import Metric
from reports.tables.table import (
    BEST,
    MISSING,
    Cell,
    Column,
    Table,
    make_slug,
    number_cell,
    rank_cells,
)
from reports.tables.wording import describe_marks, list_runs


def finish(
    kind: str,
    tables: Sequence[MethodComparison],
    columns: Sequence[Column],
    caption: Sequence[str],
    extra: str = "",
) -> Table:
    """Return a table over one or several settings, named by the first; ``extra`` goes into its name."""
    setting = tables[0].setting
    shots = "" if setting.shots is None or len(tables) > 1 else f"{setting.shots}shot"
    weights = setting.weights if kind != "pretraining" else ""
    title = " · ".join(filter(None, (kind, extra, setting.dataset, setting.backbone)))
    return Table(
        kind=kind,
        slug=make_slug(kind, extra, setting.dataset, setting.backbone, weights, shots),
        title=title,
        columns=tuple(columns),
        caption=tuple(caption),
        notes=tuple(note for table in tables for note in table.notes),
        comments=tuple(line for table in tables for line in list_runs(table.results)),
    )


LEVELS = 3  # data set, quantity, region


def add_legend(table: Table) -> Table:
    """Return the table with the sentence on bold and underlined, if it has any."""
    return replace(table, caption=(*table.caption, *describe_marks(places=table.has_marks[0])))


def method_names(tables: Sequence[MethodComparison]) -> dict[tuple[str, str], str]:
    """Return the rows of a table of several settings: (label, protocol or nothing) with what is printed."""
    names: dict[tuple[str, str], str] = {}
    for table in tables:
        for label, protocol in zip(table.rows["method"], table.rows["protocol_id"], strict=True):
            names[(label, protocol if table.mixed else "")] = (
                f"{label} [{protocol}]" if table.mixed else label
            )
    return names


def align(table: MethodComparison, keys: Sequence[tuple[str, str]]) -> list[int | None]:
    """Return the number of each key's row in the table, None where the table lacks it."""
    own = {
        (label, protocol if table.mixed else ""): number
        for number, (label, protocol) in enumerate(
            zip(table.rows["method"], table.rows["protocol_id"], strict=True)
        )
    }
    return [own.get(key) for key in keys]


def score_columns(table: MethodComparison, rows: Sequence[int | None], levels: int) -> list[Column]:
    """Return the columns of all metrics that tables show."""
    return [score_column(table, rows, key, levels=levels) for key in list_shown(table.regions)]


def score_column(
    table: MethodComparison,
    rows: Sequence[int | None],
    key: str,
    *,
    levels: int,
    heads: tuple[str, ...] | None = None,
) -> Column:
    """Return the column of a score: place and tie of each finished method, the status of one that is not."""
    metric, region = score_keys(table.regions)[key]
    cells = [_score_cell(table, row, key, metric) for row in rows]
    ranked = [row is not None and table.ranked[row] for row in rows]
    placed = list(rank_cells(cells, ranked, metric.digits, largest_first=metric.largest_first))
    verdict = table.verdicts.get(key)
    for index, row in enumerate(rows):
        if (
            verdict is not None
            and row is not None
            and ranked[index]
            and table.rows["method"][row] in verdict.tied
        ):
            placed[index] = replace(placed[index], tied=placed[index].place != BEST)
    name = f"{table.setting.dataset} (n = {table.rows['n_cases'].max()})"
    by_region = metric.columns == "regions"
    own = (name, metric.heading, region) if by_region else (name, "", metric.heading)
    return Column(f"{table.setting.dataset}:{key}", heads or own[-levels:], tuple(placed))


def _score_cell(table: MethodComparison, row: int | None, key: str, metric: Metric) -> Cell:
    by_region = metric.columns == "regions"  # these tell how a method ended, and have spreads
    if row is None:
        return Cell("missing" if by_region else MISSING)
    line = table.rows.iloc[row]
    if not line["n_runs"] and by_region:
        return Cell(str(line["note"]))
    spread = float(table.spreads[key][row]) if by_region else nan
    return number_cell(float(line[key]), metric.digits, spread)


def cost_column(
    tables: Sequence[MethodComparison],
    keys: Sequence[tuple[str, str]],
    cost: str,
    levels: int = LEVELS,
) -> Column:
    """Return the column of a cost, averaged over the data sets that have it; a long fit is in minutes or hours."""
    quantity = COSTS[cost]
    values: list[float] = []
    for key in keys:
        found = [
            table.rows[cost][row] for table in tables if (row := align(table, [key])[0]) is not None
        ]
        values.append(float(pd.Series(found, dtype=float).mean()))
    head = quantity.head
    if cost == "fit_s":
        unit, length_s = time_unit(
            max((value for value in values if not isnan(value)), default=0.0)
        )
        head, values = f"fit ({unit})", [value / length_s for value in values]
    cells = tuple(number_cell(value, quantity.digits) for value in values)
    return Column(cost, ("",) * (levels - 2) + (quantity.group, head), cells)


def time_unit(longest_s: float) -> tuple[str, float]:
    """Return the unit in which times up to the longest read well, and its length in seconds."""
    if longest_s >= 2 * 3600:
        return "h", 3600.0
    return ("min", 60.0) if longest_s >= 600 else ("s", 1.0)


def note_of(tables: Sequence[MethodComparison], key: tuple[str, str]) -> str:
    """Return what is to be said of a method that is not done everywhere but has numbers; else nothing."""
    found = []
    for table in tables:
        (row,) = align(table, [key])
        if row is not None and table.rows["n_runs"][row] and table.rows["note"][row]:
            note = str(table.rows["note"][row])
            found.append(f"{table.setting.dataset}: {note}" if len(tables) > 1 else note)
    return "; ".join(found)
