"""Published numbers beside ours: read from a CSV file, shown with the difference."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path

from reports.table import MISSING, Cell, Column, Table, number_cell

FIELDS = ("dataset", "method", "quantity", "value")


@dataclass(frozen=True)
class Published:
    """A number from the literature: ``quantity`` is a column's key such as ``dice/WT`` (%) or ``hd95_mm/mean``."""

    dataset: str
    method: str
    quantity: str
    value: float
    source: str = ""


def read_published(file: Path) -> tuple[Published, ...]:
    """Return the rows of a CSV file with the columns dataset, method, quantity, value and, if you like, source.

    Raises: ValueError if the file is not there, lacks a column, or a value is no number.
    """
    if not file.is_file():
        raise ValueError(f"--reference: must be a CSV file, got {file}, which is not there")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        lacking = [name for name in FIELDS if name not in (reader.fieldnames or ())]
        if lacking:
            raise ValueError(f"--reference: {file} must have the columns {', '.join(FIELDS)}, lacks {lacking[0]}")
        return tuple(_read_row(row, file, number) for number, row in enumerate(reader, start=2))


def _read_row(row: dict[str, str], file: Path, line: int) -> Published:
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        value = nan
    if isnan(value):
        raise ValueError(f"--reference: {file}, line {line}: value must be a number, got '{row['value']}'")
    return Published(row["dataset"], row["method"], row["quantity"], value, row.get("source") or "")


def add_published(table: Table, published: Sequence[Published]) -> Table:
    """Return the table with two columns after each that has published numbers: theirs, and ours minus theirs.

    Numbers of methods or data sets that the table does not have are named in a note.
    """
    methods = [cell.text for cell in table.columns[0].cells]
    columns: list[Column] = []
    used: set[Published] = set()
    for column in table.columns:
        columns.append(column)
        dataset, _, quantity = column.key.rpartition(":")
        mine = {
            item.method: item for item in published if (item.dataset, item.quantity) == (dataset, quantity) and dataset
        }
        if any(method in mine for method in methods):
            used |= {mine[method] for method in methods if method in mine}
            columns += _beside(column, [mine.get(method) for method in methods])
    if not used:
        return table
    sources = ", ".join(dict.fromkeys(item.source for item in published if item in used and item.source))
    sentence = f"Published: numbers of the literature{f' ({sources})' if sources else ''}; Δ: ours minus theirs."
    unused = [f"{item.method} on {item.dataset}, {item.quantity}" for item in published if item not in used]
    note = (f"Published, not in this table: {'; '.join(unused)}.",) if unused else ()
    return replace(table, columns=tuple(columns), caption=(*table.caption, sentence), notes=(*table.notes, *note))


def _beside(column: Column, theirs: Sequence[Published | None]) -> list[Column]:
    values = [nan if item is None else item.value for item in theirs]
    gaps = [ours.value - value for ours, value in zip(column.cells, values, strict=True)]
    top, own = column.heads[:-1], column.heads[-1]
    signed = tuple(Cell(MISSING) if isnan(gap) else Cell(f"{gap:+.1f}", gap) for gap in gaps)
    return [
        Column(f"{column.key}_published", (*top, f"{own} publ."), tuple(number_cell(value, 1) for value in values)),
        Column(f"{column.key}_delta", (*top, "Δ"), signed),
    ]
