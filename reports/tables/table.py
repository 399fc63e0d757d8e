"""A table as every format prints it, so that no two formats round or rank differently."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import isnan, nan
from typing import Any

from datasets.files import file_name_of

MISSING = "–"
BEST, SECOND = 1, 2
TIE_MARK = "†"
ROUGH_MARK = "rough"  # of an interval of few cases


@dataclass(frozen=True)
class Cell:
    """What is printed at one place; ``value`` and ``spread`` are unrounded, nan for words."""

    text: str
    value: float = nan
    spread: float = nan
    place: int = 0  # BEST, SECOND or 0
    tied: bool = False  # statistically not told apart from the best
    mark: str = ""  # of a word, explained in the caption
    low: float = nan  # ends of the interval, where the text has one
    high: float = nan
    key: str = ""  # what options and CSV files call it, where the text is a name

    @property
    def own_key(self) -> str:
        return self.key or self.text

    @property
    def is_number(self) -> bool:
        return not isnan(self.value) and not self.text.startswith("<")

    @property
    def parts(self) -> tuple[str, str]:
        number, _, spread = self.text.partition(" [")[0].partition(" ± ")
        return number, spread

    @property
    def has_interval(self) -> bool:
        return not isnan(self.low)


@dataclass(frozen=True)
class Column:
    """A column of cells under its headings."""

    key: str  # what options, CSV heads and published numbers call it: "brats:dice/WT"
    heads: tuple[str, ...]  # the widest first: ("brats (n = 8)", "Dice (%)", "WT")
    cells: tuple[Cell, ...]
    words: bool = False  # text to the left, not numbers
    optional: bool = False  # may be left out where there is little room

    @property
    def is_missing(self) -> bool:
        return not self.words and all(cell.text == MISSING for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """A finished table."""

    kind: str
    slug: str  # names its file and its label
    title: str
    columns: tuple[Column, ...]
    caption: tuple[str, ...]  # sentences
    notes: tuple[str, ...] = ()  # one sentence for each run that has no numbers
    comments: tuple[str, ...] = ()  # where the numbers come from: run ids, a line each
    sections: dict[int, str] = field(default_factory=dict)  # a heading before a row, by its number
    context: str = ""  # what macros put before a data set's name, where it is not all of the slug
    # Of a short caption: what is shown, then sentences that matter less and less. All are in
    # ``caption`` in full.
    brief: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # which a short caption must have

    @property
    def has_places(self) -> bool:
        return any(cell.place for column in self.columns for cell in column.cells)

    def iter_rows(self) -> Iterator[tuple[str, tuple[Cell, ...]]]:
        """Yield the cells of each row, with the heading of the section that it begins, or ""."""
        rows = zip(*(column.cells for column in self.columns), strict=True)
        for index, cells in enumerate(rows):
            yield self.sections.get(index, ""), cells


@dataclass(frozen=True)
class Head:
    """A column before it is filled."""

    key: str
    heads: tuple[str, ...]
    digits: int | None = None  # of its numbers; None: words


def fill_columns(heads: Sequence[Head], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of some rows, which have a word, a number or a cell by each head's key."""
    return [fill_column(head, [row[head.key] for row in rows]) for head in heads]


def fill_column(head: Head, values: Sequence[Any]) -> Column:
    """Return the column of some words, numbers or cells."""
    cells = []
    for value in values:
        if isinstance(value, Cell):
            cells.append(value)
        elif head.digits is None:
            cells.append(Cell(str(value)))
        else:
            cells.append(number_cell(float(value), head.digits))
    return Column(head.key, head.heads, tuple(cells), words=head.digits is None)


def align_heads(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns with equally many headings; empty ones go on top."""
    levels = max(len(column.heads) for column in columns)
    aligned = []
    for column in columns:
        empty = ("",) * (levels - len(column.heads))
        aligned.append(replace(column, heads=empty + column.heads))
    return tuple(aligned)


def span_heads(columns: Sequence[Column]) -> Iterator[list[tuple[str, int]]]:
    """Yield each named row of headings above the lowest: names and how many columns they span."""
    for level in range(1, len(columns[0].heads)):
        spans = []
        for heads, members in groupby(columns, key=lambda column: column.heads[:level]):
            spans.append((heads[-1], len(list(members))))
        if any(name for name, _ in spans):
            yield spans


def number_cell(value: float, digits: int, spread: float = nan) -> Cell:
    """Return a number rounded to ``digits`` decimals, a positive one never to 0; nan: `MISSING`."""
    if isnan(value):
        return Cell(MISSING)
    least = 10.0**-digits
    if 0 < value < least / 2:
        return Cell(f"<{least:.{digits}f}", value, spread)
    text = f"{value:z.{digits}f}"  # z: no minus sign before a zero
    if not isnan(spread):
        text += f" ± {spread:.{digits}f}"
    return Cell(text, value, spread)


def add_interval(cell: Cell, digits: int, ends: tuple[float, float], *, rough: bool) -> Cell:
    """Return a number with its interval; without it where an end is nan."""
    low, high = ends
    if isnan(low) or isnan(high):
        return cell
    mark = f" {ROUGH_MARK}" if rough else ""
    text = f"{cell.text} [{low:z.{digits}f}, {high:z.{digits}f}]{mark}"
    return replace(cell, text=text, low=low, high=high)


def rank_cells(
    cells: Sequence[Cell], ranked: Sequence[bool], digits: int, *, largest_first: bool
) -> tuple[Cell, ...]:
    """Return cells with places of ranked ones, the same if rounded alike; the best is not tied.

    A second place that more than half of the ranked cells share is not marked.
    """
    eligible: Counter[float] = Counter()
    for cell, counts in zip(cells, ranked, strict=True):
        if counts and not isnan(cell.value):
            eligible[round(cell.value, digits)] += 1
    if len(eligible) < 2:  # nothing to tell apart
        return tuple(cells)
    best, second = sorted(eligible, reverse=largest_first)[:2]
    places = {best: BEST}
    if 2 * eligible[second] <= eligible.total():
        places[second] = SECOND
    found = []
    for cell, counts in zip(cells, ranked, strict=True):
        place = places.get(round(cell.value, digits), 0) if counts else 0
        found.append(replace(cell, place=place, tied=cell.tied and place != BEST))
    return tuple(found)


def make_slug(*parts: str) -> str:
    """Return a name that is safe in file names and labels, cut if it is too long."""
    safe = [re.sub(r"[\W_]", "-", part).strip("-") for part in filter(None, parts)]
    return file_name_of("-".join(safe))
