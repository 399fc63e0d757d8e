"""Tables as comma-separated values: unrounded, for other programs."""

import csv
import re
from collections.abc import Iterator
from io import StringIO
from math import isnan
from typing import TYPE_CHECKING

from reports.records.text import one_line
from reports.tables.table import MISSING, Cell, Column, Table

if TYPE_CHECKING:  # the start of a command must not load it
    import pandas as pd

FORMULA = ("=", "+", "-", "@")  # begin a formula
NUMBER = re.compile(r"[+-][\d.]+( \[[\d., +-]+\])?")  # with its interval


def format_csv(table: Table) -> str:
    """Return a line per method; spread, tie and mark have columns where a cell has one.

    So has the heading of a group of rows."""
    columns: list[list[str]] = []
    for column in table.columns:
        columns += _split_column(column)
    if table.sections:
        columns.append(["section", *_list_sections(table)])
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))
    return stream.getvalue()


def _list_sections(table: Table) -> Iterator[str]:
    """Yield the heading that each row is below."""
    heading = ""
    for section, _ in table.iter_rows():
        heading = section or heading
        yield escape(heading)


def format_case_scores(scores: "pd.DataFrame") -> str:
    """Return a line per case with the columns case and one per method, as tools for tests read.

    ``scores`` is (cases x methods) without nan, such as mean Dice as a fraction, seeds averaged.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", *map(escape, scores.columns)])
    for case, values in zip(scores.index, scores.to_numpy(float), strict=True):
        writer.writerow([escape(case), *map(format_number, values)])
    return stream.getvalue()


def _split_column(column: Column) -> list[list[str]]:
    key = escape(column.key)
    values = [key]
    spreads = [f"{key}_sd"]
    ties = [f"{key}_tied"]
    marks = [f"{key}_mark"]
    lows = [f"{key}_low"]
    highs = [f"{key}_high"]
    for cell in column.cells:
        values.append(_format_value(cell))
        spreads.append(format_number(cell.spread))
        ties.append("yes" if cell.tied else "")
        marks.append(cell.mark)
        lows.append(format_number(cell.low))
        highs.append(format_number(cell.high))
    extras = (spreads, lows, highs, ties, marks)
    return [values, *(extra for extra in extras if any(extra[1:]))]


def _format_value(cell: Cell) -> str:
    if isnan(cell.value) and cell.text != MISSING:
        return escape(cell.own_key)
    return format_number(cell.value)


def escape(text: str) -> str:
    """Return text on one line that no program takes for a formula: a quote goes before its sign."""
    line = one_line(text)
    is_formula = line.startswith(FORMULA) and not NUMBER.fullmatch(line)
    return f"'{line}" if is_formula else line


def format_number(value: float) -> str:
    """Return a number with twelve digits; nothing for nan."""
    if isnan(value):
        return ""
    return f"{value:.12g}"
