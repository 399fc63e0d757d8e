"""The main table, in the shape of the papers: methods in rows, for each data set Dice per region, mean and HD95."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan

import pandas as pd

from reports.quantities import COSTS, ScoreQuantity, score_keys
from reports.summary import MethodTable
from reports.table import BEST, MISSING, Cell, Column, Table, make_slug, number_cell, rank_cells, word_column
from reports.tidy import MEAN
from reports.wording import (
    describe_distance,
    describe_marks,
    describe_protocol,
    describe_scores,
    describe_setting,
    describe_verdict,
    list_runs,
)

LEVELS = 3  # data set, quantity, region


def main_tables(tables: Sequence[MethodTable]) -> list[Table]:
    """Return one table per backbone, pre-training and shots, with the data sets side by side."""
    groups: dict[tuple[object, ...], list[MethodTable]] = {}
    for table in tables:
        groups.setdefault((table.setting.backbone, table.setting.weights, table.setting.shots), []).append(table)
    return [main_table(group) for group in groups.values()]


def main_table(tables: Sequence[MethodTable]) -> Table:
    """Return the table of some data sets under one backbone and pre-training."""
    names = method_names(tables)
    columns = [word_column("method", "Method", list(names.values()), LEVELS)]
    columns += [cost_column(tables, list(names), key) for key in ("tuned_m", "tuned_pct")]
    for table in tables:
        rows = align(table, list(names))
        shown = [f"dice/{region}" for region in (*table.regions, MEAN)] + [f"hd95_mm/{MEAN}"]
        columns += [score_column(table, rows, key, levels=LEVELS) for key in shown]
    if len(tables) == 1:  # a mean over data sets would be nobody's time
        columns.append(cost_column(tables, list(names), "fit_s"))
    notes = [note_of(tables, key) for key in names]
    if any(notes):
        columns.append(word_column("note", "Note", notes, LEVELS))
    columns = [column for column in columns if column.words or any(cell.text != MISSING for cell in column.cells)]
    setting = tables[0].setting
    shots = "" if setting.shots is None else f"{setting.shots}shot"
    datasets = make_slug(*dict.fromkeys(table.setting.dataset for table in tables))
    found = Table(
        kind="main",
        slug=make_slug("main", datasets, setting.backbone, setting.weights, shots),
        title=f"{datasets.replace('-', ', ')} · {setting.backbone}",
        columns=tuple(columns),
        caption=(
            *describe_setting(tables, "PET methods"),
            *describe_scores(tables),
            describe_distance(tables),
            "Tuned: parameters trained outside the decoder, in millions and in % of the backbone.",
            describe_protocol(tables),
            *describe_verdict(tables),
        ),
        notes=tuple(note for table in tables for note in table.notes),
        comments=tuple(line for table in tables for line in list_runs(table.results)),
        context=make_slug(setting.backbone, setting.weights, shots),
    )
    return add_legend(found)


def add_legend(table: Table) -> Table:
    """Return the table with the sentence on bold and underlined, if it has any."""
    return replace(table, caption=(*table.caption, *describe_marks(places=table.has_marks[0])))


def method_names(tables: Sequence[MethodTable]) -> dict[tuple[str, str], str]:
    """Return the rows of a table of several settings: (label, protocol or nothing) with what is printed."""
    names: dict[tuple[str, str], str] = {}
    for table in tables:
        for label, protocol in zip(table.rows["method"], table.rows["protocol_id"], strict=True):
            names[(label, protocol if table.mixed else "")] = f"{label} [{protocol}]" if table.mixed else label
    return names


def align(table: MethodTable, keys: Sequence[tuple[str, str]]) -> list[int | None]:
    """Return the number of each key's row in the table, None where the table lacks it."""
    own = {
        (label, protocol if table.mixed else ""): number
        for number, (label, protocol) in enumerate(zip(table.rows["method"], table.rows["protocol_id"], strict=True))
    }
    return [own.get(key) for key in keys]


def score_column(
    table: MethodTable, rows: Sequence[int | None], key: str, *, levels: int, heads: tuple[str, ...] | None = None
) -> Column:
    """Return the column of a score: place and tie of each finished method, the status of one that is not."""
    quantity, region = score_keys(table.regions)[key]
    cells = [_score_cell(table, row, key, quantity) for row in rows]
    ranked = [row is not None and table.ranked[row] for row in rows]
    placed = list(rank_cells(cells, ranked, quantity.digits, largest_first=quantity.largest_first))
    verdict = table.verdicts.get(key)
    for index, row in enumerate(rows):
        if verdict is not None and row is not None and ranked[index] and table.rows["method"][row] in verdict.tied:
            placed[index] = replace(placed[index], tied=placed[index].place != BEST)
    name = f"{table.setting.dataset} (n = {table.rows['n_cases'].max()})"
    own = (name, quantity.group, quantity.head or region)
    return Column(f"{table.setting.dataset}:{key}", heads or own[-levels:], tuple(placed))


def _score_cell(table: MethodTable, row: int | None, key: str, quantity: ScoreQuantity) -> Cell:
    if row is None:
        return Cell("missing" if quantity.metric == "dice" else MISSING)
    line = table.rows.iloc[row]
    if not line["n_runs"] and quantity.metric == "dice":
        return Cell(str(line["note"]))
    spread = float(table.spreads[key][row]) if quantity.metric == "dice" else nan
    return number_cell(float(line[key]), quantity.digits, spread)


def cost_column(
    tables: Sequence[MethodTable], keys: Sequence[tuple[str, str]], cost: str, levels: int = LEVELS
) -> Column:
    """Return the column of a cost, averaged over the data sets that have it; a long fit is in minutes or hours."""
    quantity = COSTS[cost]
    values: list[float] = []
    for key in keys:
        found = [table.rows[cost][row] for table in tables if (row := align(table, [key])[0]) is not None]
        values.append(float(pd.Series(found, dtype=float).mean()))
    head = quantity.head
    if cost == "fit_s":
        unit, length_s = time_unit(max((value for value in values if not isnan(value)), default=0.0))
        head, values = f"fit ({unit})", [value / length_s for value in values]
    cells = tuple(number_cell(value, quantity.digits) for value in values)
    return Column(cost, ("",) * (levels - 2) + (quantity.group, head), cells)


def time_unit(longest_s: float) -> tuple[str, float]:
    """Return the unit in which times up to the longest read well, and its length in seconds."""
    if longest_s >= 2 * 3600:
        return "h", 3600.0
    return ("min", 60.0) if longest_s >= 600 else ("s", 1.0)


def note_of(tables: Sequence[MethodTable], key: tuple[str, str]) -> str:
    """Return what is to be said of a method that is not done everywhere but has numbers; else nothing."""
    found = []
    for table in tables:
        (row,) = align(table, [key])
        if row is not None and table.rows["n_runs"][row] and table.rows["note"][row]:
            note = str(table.rows["note"][row])
            found.append(f"{table.setting.dataset}: {note}" if len(tables) > 1 else note)
    return "; ".join(found)
