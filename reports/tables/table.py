"""A table as every format prints it: cells with text and place, so that no two formats round or rank differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import isnan, nan

MISSING = "–"
BEST, SECOND = 1, 2
TIE_MARK = "†"


@dataclass(frozen=True)
class Cell:
    """What is printed at one place; ``value`` and ``spread`` are the unrounded numbers behind it, nan for words."""

    text: str
    value: float = nan
    spread: float = nan
    place: int = 0  # BEST, SECOND or 0
    tied: bool = False  # statistically not told apart from the best

    @property
    def is_number(self) -> bool:
        """Return whether the text is a plain number, with or without a spread."""
        return not isnan(self.value) and not self.text.startswith("<")

    @property
    def parts(self) -> tuple[str, str]:
        """Return what is printed before and after ±; the second is empty without a spread."""
        number, _, spread = self.text.partition(" ± ")
        return number, spread


@dataclass(frozen=True)
class Column:
    """A column of cells under its headings, the widest first, such as ("brats (n = 8)", "Dice (%)", "WT")."""

    key: str  # what options, CSV heads and published numbers call it: "brats:dice/WT"
    heads: tuple[str, ...]
    cells: tuple[Cell, ...]
    words: bool = False  # text to the left, not numbers


@dataclass(frozen=True)
class Table:
    """A finished table; ``sections`` puts a heading before a row, by the row's number."""

    kind: str
    slug: str  # names its file and its label
    title: str
    columns: tuple[Column, ...]
    caption: tuple[str, ...]  # sentences
    notes: tuple[str, ...] = ()  # one sentence for each run that has no numbers
    comments: tuple[str, ...] = ()  # where the numbers come from: run ids, a line each
    sections: dict[int, str] = field(default_factory=dict)
    context: str = ""  # what macros put before a data set's name, where it is not all of the slug

    @property
    def n_rows(self) -> int:
        """Return the number of methods."""
        return len(self.columns[0].cells)

    def iter_rows(self) -> Iterator[tuple[str, tuple[Cell, ...]]]:
        """Yield the cells of each row, with the heading of the section that it begins, or ""."""
        rows = zip(*(column.cells for column in self.columns), strict=True)
        for index, cells in enumerate(rows):
            yield self.sections.get(index, ""), cells

    @property
    def has_marks(self) -> tuple[bool, bool]:
        """Return whether any cell has a place, and whether any is marked as tied."""
        cells = [cell for column in self.columns for cell in column.cells]
        return any(cell.place for cell in cells), any(cell.tied for cell in cells)


def span_heads(columns: Sequence[Column]) -> Iterator[list[tuple[str, int]]]:
    """Yield the rows of headings above the lowest as (name, number of columns it spans).

    A row without any name is left out.
    """
    for level in range(1, len(columns[0].heads)):
        spans = []
        for heads, members in groupby(columns, key=lambda column: column.heads[:level]):
            spans.append((heads[-1], len(list(members))))
        if any(name for name, _ in spans):
            yield spans


def word_column(key: str, head: str, words: Sequence[str], levels: int) -> Column:
    """Return a column of words; its heading stands in the lowest of the ``levels``."""
    return Column(
        key, ("",) * (levels - 1) + (head,), tuple(Cell(word) for word in words), words=True
    )


def number_cell(value: float, digits: int, spread: float = nan) -> Cell:
    """Return a number rounded to ``digits`` decimals, but never a positive one to zero; nan is `MISSING`."""
    if isnan(value):
        return Cell(MISSING)
    least = 10.0**-digits
    if 0 < value < least / 2:
        return Cell(f"<{least:.{digits}f}", value, spread)
    text = f"{value:.{digits}f}"
    return Cell(text if isnan(spread) else f"{text} ± {spread:.{digits}f}", value, spread)


def rank_cells(
    cells: Sequence[Cell], ranked: Sequence[bool], digits: int, *, largest_first: bool
) -> tuple[Cell, ...]:
    """Return the cells with their places: by what is printed, equal for equal; none if nothing is to be told apart."""
    printed = [round(cell.value, digits) for cell in cells]
    eligible = {
        value for value, counts in zip(printed, ranked, strict=True) if counts and not isnan(value)
    }
    order = sorted(eligible, reverse=largest_first)[:2] if len(eligible) > 1 else []
    return tuple(
        replace(cell, place=order.index(value) + 1) if counts and value in order else cell
        for cell, value, counts in zip(cells, printed, ranked, strict=True)
    )


def make_slug(*parts: str) -> str:
    """Return a name that is safe in file names and labels."""
    return "-".join(
        "".join(letter if letter.isalnum() else "-" for letter in part).strip("-")
        for part in parts
        if part
    )
