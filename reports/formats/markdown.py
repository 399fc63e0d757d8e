"""Tables in Markdown, for a README or a pull request."""

from __future__ import annotations

from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Table


def format_markdown(table: Table) -> str:
    """Return the caption, the table (best values in bold, second underlined) and the notes."""
    heads = [_escape(" ".join(filter(None, column.heads))) for column in table.columns]
    lines = [_line(heads), _line(["---" if column.words else "---:" for column in table.columns])]
    for index in range(table.n_rows):
        if index in table.sections:
            lines.append(_line([f"*{_escape(table.sections[index])}*", *[""] * (len(heads) - 1)]))
        lines.append(_line([_cell(column.cells[index]) for column in table.columns]))
    notes = [f"- {_escape(note)}" for note in table.notes]
    runs = (
        ["", "<!-- runs:", *(line.replace("--", "- -") for line in table.comments), "-->"]
        if table.comments
        else []
    )
    caption = " ".join(_escape(sentence) for sentence in table.caption)
    return "\n".join([caption, "", *lines, *(["", *notes] if notes else []), *runs, ""])


def _cell(cell: Cell) -> str:
    text = _escape(cell.text)
    text = (
        f"**{text}**" if cell.place == BEST else f"<u>{text}</u>" if cell.place == SECOND else text
    )
    return f"{text} {TIE_MARK}" if cell.tied else text


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    for special in ("\\", "|", "*", "_", "[", "]", "<"):
        text = text.replace(special, f"\\{special}")
    return text
