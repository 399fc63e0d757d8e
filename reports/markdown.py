"""Tables in Markdown, for a README or a pull request."""

from __future__ import annotations

from reports.cells import BEST, build_columns
from reports.summary import MethodTable


def format_markdown(table: MethodTable) -> str:
    """Return the caption, the table (best values in bold) and the notes."""
    columns = build_columns(table)
    heads = [_escape(f"{column.group} {column.head}".strip()) for column in columns]
    lines = [_line(heads), _line(["---", *["---:"] * (len(columns) - 1)])]
    for index in range(len(table.rows)):
        cells = [(_escape(column.texts[index]), column.places[index]) for column in columns]
        lines.append(_line([f"**{text}**" if place == BEST else text for text, place in cells]))
    notes = [f"- {_escape(note)}" for note in table.notes]
    return "\n".join([" ".join(map(_escape, table.caption)), "", *lines, *(["", *notes] if notes else []), ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    for special in ("\\", "|", "*", "_", "[", "]", "<"):
        text = text.replace(special, f"\\{special}")
    return text
