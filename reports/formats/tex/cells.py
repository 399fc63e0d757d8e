"""The inside of a table in LaTeX: columns, headings, rows."""

import re
from collections.abc import Iterable, Iterator

from reports.formats.tex.layout import (
    LEAST_HEAD_PT,
    SEPARATION_PT,
    WORDS_FRAC,
    Sheet,
    measure_cells,
    measure_column,
    measure_width,
    wrap_head,
)
from reports.formats.tex.signs import DAGGER, PIECE, escape, escape_breakable
from reports.formats.tex.widths import measure, wrap
from reports.tables.table import BEST, SECOND, Cell, Column, span_heads

WRAPS = {0: "{}", BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def specify_columns(sheet: Sheet) -> list[str]:
    """Return the column types: numbers of siunitx, words, wrapped words."""
    return [_specify(column, sheet) for column in sheet.table.columns]


def list_heads(sheet: Sheet) -> Iterator[str]:
    """Yield a line per level of headings; a named heading has a rule below its columns."""
    columns = sheet.table.columns
    widths = [measure_column(column, sheet.size_pt, sheet.room_pt) for column in columns]
    for spans in span_heads(columns):
        names = []
        rules = []
        start = 0
        for name, count in spans:
            if name:
                own = sum(widths[start : start + count]) + SEPARATION_PT * (count - 1)
                lines = wrap(name, max(own, LEAST_HEAD_PT), sheet.size_pt)
                names.append(rf"\multicolumn{{{count}}}{{c}}{{{_stack(lines, 'c')}}}")
                rules.append(rf"\cmidrule(lr){{{start + 1}-{start + count}}}")
            else:
                names.append(" & " * (count - 1))
            start += count
        yield _line(names)
        yield f"    {' '.join(rules)}"
    yield _line(_own_head(column, sheet) for column in columns)


def list_rows(sheet: Sheet) -> Iterator[str]:
    """Yield a line per row, and before it the heading of the section that it begins."""
    table = sheet.table
    for index, (section, cells) in enumerate(table.iter_rows()):
        if section and index:
            yield r"    \midrule"
        if section:
            yield rf"    \multicolumn{{{len(cells)}}}{_set_section(section, sheet)} \\"
        yield _line(map(_cell, table.columns, cells))


def _set_section(section: str, sheet: Sheet) -> str:
    """Return the type and the words of the heading of a section, in lines if it is too wide."""
    width = measure_width(sheet.table.columns, sheet.size_pt, sheet.room_pt)
    if measure(section, sheet.size_pt) <= width:
        return rf"{{@{{}}l}}{{\textit{{{escape(section)}}}}}"
    kind = rf">{{\raggedright\arraybackslash}}p{{{min(width, sheet.room_pt):.0f}pt}}"
    return rf"{{@{{}}{kind}@{{}}}}{{\textit{{{escape_breakable(section, PIECE)}}}}}"


class _Widths:
    """The room that siunitx must keep for the numbers of a column, in characters."""

    def __init__(self, column: Column) -> None:
        self.sign = ""
        self.whole = 0
        self.decimals = 0
        self.spread = 0
        self.tied = any(cell.tied for cell in column.cells)
        for cell in column.cells:
            if cell.is_number:
                self._widen(*cell.parts)

    def _widen(self, number: str, spread: str) -> None:
        whole, _, decimals = number.lstrip("+-").partition(".")
        if number[0] in "+-":
            self.sign = "+"
        self.whole = max(self.whole, len(whole))
        self.decimals = max(self.decimals, len(decimals))
        self.spread = max(self.spread, len(spread.replace(".", "")))


def _specify(column: Column, sheet: Sheet) -> str:
    if column.words:
        widest = WORDS_FRAC * sheet.room_pt
        if measure_cells(column, sheet.size_pt) > widest:
            return rf">{{\raggedright\arraybackslash}}p{{{widest:.0f}pt}}"
        return "l"
    widths = _Widths(column)
    if _has_intervals(column) or not widths.whole:
        return "c"
    room = f"{widths.sign}{widths.whole}.{widths.decimals}"
    if widths.spread:
        room += f"({widths.spread})"
    if widths.tied:
        room += f", table-space-text-post={DAGGER}"
    return f"S[table-format={room}]"


def _has_intervals(column: Column) -> bool:
    return any(cell.has_interval for cell in column.cells)


def _own_head(column: Column, sheet: Sheet) -> str:
    lines = wrap_head(column, sheet.size_pt)
    if column.words:
        return _stack(lines, "l")
    return f"{{{_stack(lines, 'c')}}}"


def _stack(lines: list[str], side: str) -> str:
    """Return lines one above the other."""
    escaped = list(map(escape, lines))
    if len(escaped) == 1:
        return escaped[0]
    stacked = r" \\ ".join(escaped)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"


def _cell(column: Column, cell: Cell) -> str:
    if column.words:
        return escape_breakable(cell.text + cell.mark, PIECE)
    mark = DAGGER if cell.tied else ""
    if cell.has_interval or (cell.is_number and _has_intervals(column)):
        return f"{{{WRAPS[cell.place].format(_set_numbers(cell.text))}{mark}}}"
    if not cell.is_number:
        return f"{{{escape(cell.text)}}}"
    if cell.place == SECOND:
        return _underlined(cell, _Widths(column), mark)
    text = cell.text.replace(" ± ", " +- ") + mark
    if cell.place == BEST:
        return rf"\bfseries {text}"
    return text


def _set_numbers(text: str) -> str:
    r"""Return a number with its interval, each number set by ``\num``."""
    return NUMBER.sub(r"\\num{\g<0>}", text)


def _underlined(cell: Cell, widths: _Widths, mark: str) -> str:
    """Return the second best value padded here, as siunitx cannot underline."""
    number, spread = cell.parts
    text = rf"\underline{{{number}}}"
    if spread:
        pad = _phantom("0" * (widths.spread - len(spread.replace(".", ""))))
        text += rf" $\pm$ {pad}{spread}"
    elif widths.spread:
        text += _phantom(rf" $\pm$ {'0' * widths.spread}.")
    if widths.tied and not mark:
        mark = _phantom(DAGGER)
    return f"{{{text}{mark}}}"


def _phantom(text: str) -> str:
    return rf"\phantom{{{text}}}" if text else ""


def _line(cells: Iterable[str]) -> str:
    return rf"    {' & '.join(cells)} \\"
