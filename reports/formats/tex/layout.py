"""The choice of a layout: upright, turned, over several pages, split by data set, fewer columns.

The first that fits is taken, with the largest letters. Nothing is printed with smaller letters than
those of the venue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from reports.formats.tex.venues import Venue
from reports.formats.tex.widths import LEAD, measure, wrap
from reports.tables.table import Column, Table, make_slug, span_heads

LONGEST = 40  # rows of a table on one page
LEFT_OUT = "left out"  # in the remark on columns that are missing, which readers must know
WORDS_FRAC = 0.3  # of the width, for a column of words; longer ones are wrapped
SEPARATION_PT = 6.0  # between two columns
CAPTION_LINES = 3
SAFE_FRAC = 0.96  # of the width of a long table, which cannot be shrunk
LEAST_HEAD_PT = 38.0  # headings are not broken into narrower lines


class Form(StrEnum):
    """How a table stands on its page."""

    COLUMN = "column"  # in one of two columns
    FULL = "full"  # over the width of the text
    TURNED = "turned"
    LONG = "long"  # over several pages


@dataclass(frozen=True)
class Sheet:
    """A table as it is printed.

    Attributes:
        remarks: in what it is not as the table that was asked for, a sentence each.
        part: which of several it is, with its data set; empty if it is whole.
    """

    table: Table
    form: Form
    size_pt: float
    room_pt: float
    remarks: tuple[str, ...] = ()
    part: str = ""


def plan_sheets(table: Table, venue: Venue) -> list[Sheet]:
    """Return how a table is printed: on one sheet, or on one for each data set."""
    whole = _fit(table, venue)
    if whole is not None:
        return [whole]
    parts = list(_split(table))
    if len(parts) < 2:
        return [_lose_columns(table, venue)]
    sheets = []
    remark = f"{table.slug}: too wide for {venue.name}, so split by data set."
    for number, (heading, part) in enumerate(parts, start=1):
        sheet = _fit(part, venue) or _lose_columns(part, venue)
        named = f"Part {number} of {len(parts)}: {heading}."
        remarks = (remark, *sheet.remarks) if number == 1 else sheet.remarks
        sheets.append(replace(sheet, part=named, remarks=remarks))
    return sheets


def _fit(table: Table, venue: Venue) -> Sheet | None:
    forms = [Form.FULL, Form.TURNED, Form.LONG]
    if venue.column_pt:
        forms.insert(0, Form.COLUMN)
    if len(table.columns[0].cells) > LONGEST:
        forms = [Form.LONG]
    for form in forms:
        room = _find_room(form, venue)
        for size in venue.sizes_pt:
            fits = measure_width(table.columns, size, room) <= room
            if fits and _measure_height(table, size, room) <= _find_depth(form, venue):
                remarks: tuple[str, ...] = ()
                if form is Form.TURNED:
                    remarks = (f"{table.slug}: too wide for {venue.name}, so turned.",)
                return Sheet(table, form, size, room, remarks)
    return None


def _find_room(form: Form, venue: Venue) -> float:
    if form is Form.COLUMN:
        return venue.column_pt
    if form is Form.TURNED:
        return venue.height_pt
    return venue.text_pt * (SAFE_FRAC if form is Form.LONG else 1.0)


def _find_depth(form: Form, venue: Venue) -> float:
    """Return how high a table may be, below its caption."""
    caption = (CAPTION_LINES + 1) * LEAD * venue.caption_pt
    if form is Form.LONG:
        return float("inf")
    return (venue.text_pt if form is Form.TURNED else venue.height_pt) - caption


def _lose_columns(table: Table, venue: Venue) -> Sheet:
    """Return the sheet without the columns that are ranked last, as few as possible."""
    lost: list[str] = []
    shown = table
    for key in _rank_columns(table):
        lost.append(key)
        kept = tuple(column for column in shown.columns if column.key != key)
        shown = replace(shown, columns=kept)
        sheet = _fit(shown, venue)
        if sheet is not None:
            names = ", ".join(lost)
            remark = (
                f"{table.slug}: too wide for {venue.name}, so {LEFT_OUT}: {names} (CSV has them)"
            )
            return replace(sheet, remarks=(*sheet.remarks, f"{remark}."))
    remark = f"{table.slug}: too wide for {venue.name} in every layout, so shrunk."
    return Sheet(table, Form.FULL, venue.sizes_pt[-1], venue.text_pt, (remark,))


def _rank_columns(table: Table) -> list[str]:
    """Return the keys of the columns in the order in which they go: optional ones, then by place.

    The names and one more column stay.
    """
    others = [column for column in reversed(table.columns[1:])]
    first = [column.key for column in others if column.optional]
    notes = [column.key for column in others if column.words or column.key.endswith("_pct")]
    ordered = dict.fromkeys([*first, *notes, *(column.key for column in others)])
    return list(ordered)[:-1]


def _split(table: Table) -> Iterator[tuple[str, Table]]:
    """Yield the table of each data set with its heading; the other columns are in all of them."""
    datasets: dict[str, str] = {}
    for column in table.columns:
        dataset = column.key.rpartition(":")[0]
        if dataset:
            datasets.setdefault(dataset, column.heads[0])
    for dataset, heading in datasets.items():
        kept = []
        for column in table.columns:
            if column.key.rpartition(":")[0] in ("", dataset):
                kept.append(column)
        slug = make_slug(table.slug, dataset)
        yield heading, replace(table, columns=tuple(kept), slug=slug)


def measure_width(columns: Sequence[Column], size_pt: float, room_pt: float) -> float:
    """Return how wide a table of these columns is, in pt."""
    widths = [measure_column(column, size_pt, room_pt) for column in columns]
    for spans in span_heads(columns):
        start = 0
        for name, count in spans:
            own = sum(widths[start : start + count]) + SEPARATION_PT * (count - 1)
            lines = wrap(name, max(own, LEAST_HEAD_PT), size_pt)
            needed = max(measure(line, size_pt) for line in lines)
            widths[start + count - 1] += max(0.0, needed - own)
            start += count
    return sum(widths) + SEPARATION_PT * (len(columns) - 1)


def measure_column(column: Column, size_pt: float, room_pt: float) -> float:
    """Return the width of a column, in pt."""
    body = measure_cells(column, size_pt)
    if column.words:
        body = min(body, WORDS_FRAC * room_pt)
    heads = wrap_head(column, size_pt)
    return max(body, *(measure(line, size_pt) for line in heads))


def measure_cells(column: Column, size_pt: float) -> float:
    """Return the width of the widest cell on one line, in pt."""
    widths = [0.0]
    for cell in column.cells:
        text = cell.text + cell.mark + ("†" if cell.tied else "")
        widths.append(measure(text, size_pt, bold=not column.words))
    return max(widths)


def wrap_head(column: Column, size_pt: float) -> list[str]:
    """Return the lines of a column's own heading."""
    body = measure_cells(column, size_pt)
    return wrap(column.heads[-1], max(body if not column.words else 0, LEAST_HEAD_PT), size_pt)


def _measure_height(table: Table, size_pt: float, room_pt: float) -> float:
    width = measure_width(table.columns, size_pt, room_pt)
    lines = 2 * len(table.columns[0].heads)
    for section in table.sections.values():
        lines += ceil(1.1 * measure(section, size_pt) / width)
    for row in range(len(table.columns[0].cells)):
        most = 1
        for column in table.columns:
            if column.words:
                natural = measure(column.cells[row].text, size_pt)
                most = max(most, ceil(1.1 * natural / (WORDS_FRAC * room_pt)))
        lines += most
    return lines * LEAD * size_pt
