"""Tables in Markdown, for a README or a pull request."""

import re
from collections.abc import Iterable

from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Table


def format_markdown(table: Table) -> str:
    """Return the caption, the table (best values in bold, second underlined) and the notes."""
    heads = [_escape(" ".join(filter(None, column.heads))) for column in table.columns]
    rules = ["---" if column.words else "---:" for column in table.columns]
    lines = [_escape(" ".join(table.caption)), "", _line(heads), _line(rules)]
    for section, cells in table.iter_rows():
        if section:
            lines.append(_line([f"*{_escape(section)}*", *[""] * (len(cells) - 1)]))
        lines.append(_line(map(_cell, cells)))
    if table.notes:
        lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    if table.comments:
        runs = (line.replace("--", "- -") for line in table.comments)
        lines += ["", "<!-- runs:", *runs, "-->"]
    return "\n".join([*lines, ""])


def _cell(cell: Cell) -> str:
    text = _escape(cell.text)
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


def _escape(text: str) -> str:
    return re.sub(r"[\\|*_\[\]<]", r"\\\g<0>", text)
