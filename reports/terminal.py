"""Tables for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from reports.cells import BEST, SECOND, build_columns
from reports.summary import MethodTable

STYLES = {0: "", BEST: "bold", SECOND: "underline"}


def build_terminal_table(table: MethodTable) -> Table:
    """Return a Rich table: best values bold, second underlined; the caption and the notes below.

    It is set tightly, so that three regions fit into 80 columns; in a narrower terminal cells wrap.
    """
    shown = Table(
        title=f"{table.dataset} · {table.backbone}",
        title_justify="left",
        caption=Text("\n".join([" ".join(table.caption), *table.notes])),
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    columns = build_columns(table)
    for column in columns:
        words = column.head in ("Method", "Note")
        head = f"{column.group}\n{column.head}" if column.group else column.head.replace(" (", "\n(")
        shown.add_column(Text(head), justify="left" if words else "right", vertical="bottom", overflow="fold")
    for index in range(len(table.rows)):
        cells = ((column.texts[index].replace(" ± ", "±"), STYLES[column.places[index]]) for column in columns)
        shown.add_row(*(Text(text, style=style) for text, style in cells))
    return shown
