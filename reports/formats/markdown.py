"""Tables in Markdown, for a README or a pull request."""

import re
from collections.abc import Iterable

from reports.records.text import one_line
from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Table

SIGNS = re.compile(r"[\\|*_\[\]<&`~$]")
BLOCK = re.compile(r"^(\d{1,9}(?=[.)])|(?=[#>+=-]))")  # begins a list, a heading, a quote, ...
HYPHENS = re.compile(r"-(?=-)")


def format_markdown(table: Table) -> str:
    """Return the caption, the table (best values in bold, second underlined) and the notes."""
    heads = [escape(" ".join(filter(None, column.heads))) for column in table.columns]
    rules = ["---" if column.words else "---:" for column in table.columns]
    lines = [_escape_line(" ".join(table.caption)), "", _line(heads), _line(rules)]
    for section, cells in table.iter_rows():
        if section:
            lines.append(_line([f"*{escape(section)}*", *[""] * (len(cells) - 1)]))
        lines.append(_line(map(_cell, cells)))
    if table.notes:
        lines += ["", *(f"- {_escape_line(note)}" for note in table.notes)]
    if table.comments:
        lines += ["", "<!-- runs:", *map(comment, table.comments), "-->"]
    return "\n".join([*lines, ""])


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.place == BEST:
        text = f"**{text}**"
    elif cell.place == SECOND:
        text = f"<u>{text}</u>"
    if cell.mark:
        text += f" {cell.mark}"
    if cell.tied:
        text += f" {TIE_MARK}"
    return text


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Return text on one line in which no sign has a meaning for Markdown, HTML or formulas."""
    return SIGNS.sub(r"\\\g<0>", one_line(text))


def _escape_line(text: str) -> str:
    return BLOCK.sub(r"\1\\", escape(text))


def comment(text: str) -> str:
    """Return text as a line of a comment, which it cannot end."""
    return HYPHENS.sub("- ", one_line(text))


def as_code(text: str) -> str:
    """Return text as code within a line, between more backticks than it has in a row."""
    line = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
