"""Tables as comma-separated values: unrounded, for other programs."""

from __future__ import annotations

import csv
from io import StringIO
from math import isnan

from reports.tables.table import Cell, Column, Table


def format_csv(table: Table) -> str:
    """Return a line per method; numbers have twelve digits, with columns of their own for spread and tie."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = [name for column in table.columns for name in _names(column)]
    writer.writerow(heads)
    for index in range(table.n_rows):
        writer.writerow(
            [value for column in table.columns for value in _values(column, column.cells[index])]
        )
    return stream.getvalue()


def _names(column: Column) -> list[str]:
    spread = [f"{column.key}_sd"] if any(not isnan(cell.spread) for cell in column.cells) else []
    tied = [f"{column.key}_tied"] if any(cell.tied for cell in column.cells) else []
    return [column.key, *spread, *tied]


def _values(column: Column, cell: Cell) -> list[str]:
    number = "" if isnan(cell.value) else f"{cell.value:.12g}"
    names = _names(column)
    values = {
        column.key: number or ("" if cell.text == "–" else cell.text),
        f"{column.key}_sd": "" if isnan(cell.spread) else f"{cell.spread:.12g}",
        f"{column.key}_tied": "yes" if cell.tied else "",
    }
    return [values[name] for name in names]
