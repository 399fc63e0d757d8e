"""Tables as comma-separated values: unrounded, for other programs."""

import csv
from io import StringIO
from math import isnan

from reports.tables.table import MISSING, Cell, Column, Table


def format_csv(table: Table) -> str:
    """Return a line per method; spread, tie and mark have columns where a cell has one."""
    columns: list[list[str]] = []
    for column in table.columns:
        columns += _split_column(column)
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))
    return stream.getvalue()


def _split_column(column: Column) -> list[list[str]]:
    values = [column.key]
    spreads = [f"{column.key}_sd"]
    ties = [f"{column.key}_tied"]
    marks = [f"{column.key}_mark"]
    for cell in column.cells:
        values.append(_format_value(cell))
        spreads.append(format_number(cell.spread))
        ties.append("yes" if cell.tied else "")
        marks.append(cell.mark)
    return [values, *(extra for extra in (spreads, ties, marks) if any(extra[1:]))]


def _format_value(cell: Cell) -> str:
    if isnan(cell.value) and cell.text != MISSING:
        return cell.text
    return format_number(cell.value)


def format_number(value: float) -> str:
    """Return a number with twelve digits; nothing for nan."""
    if isnan(value):
        return ""
    return f"{value:.12g}"
