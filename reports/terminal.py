"""Tables for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from reports.cells import BEST, SECOND, build_columns
from reports.summary import MethodTable

STYLES = {0: "", BEST: "bold", SECOND: "underline"}


def build_terminal_table(table: MethodTable) -> Table:
    """Return a Rich table: best values bold, second underlined; the caption and the notes below."""
    shown = Table(title=f"{table.dataset} · {table.backbone}", caption_justify="left", title_justify="left")
    columns = build_columns(table)
    for column in columns:
        head = Text(f"{column.group}\n{column.head}" if column.group else column.head)
        shown.add_column(head, justify="left" if column.head in ("Method", "Note") else "right", vertical="bottom")
    for index in range(len(table.rows)):
        shown.add_row(*(Text(column.texts[index], style=STYLES[column.places[index]]) for column in columns))
    shown.caption = Text("\n".join([" ".join(table.caption), *table.notes]))
    return shown
