"""Tables for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from reports.tables.table import BEST, SECOND, TIE_MARK, Column, Table

STYLES = {0: "", BEST: "bold", SECOND: "underline"}


def build_terminal_table(table: Table) -> RichTable:
    """Return a Rich table: best values bold, second underlined; the caption and the notes below.

    It is set tightly, so that three regions fit into 80 columns; in a narrower terminal cells wrap.
    """
    shown = RichTable(
        title=table.title,
        title_justify="left",
        caption=Text("\n".join([" ".join(table.caption), *table.notes])),
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    for column in table.columns:
        head = Text(_head(column))
        shown.add_column(
            head, justify="left" if column.words else "right", vertical="bottom", overflow="fold"
        )
    for index in range(table.n_rows):
        if index in table.sections:
            shown.add_row(Text(table.sections[index], style="italic"))
        cells = [column.cells[index] for column in table.columns]
        shown.add_row(
            *(
                Text.assemble(
                    (cell.text.replace(" ± ", "±"), STYLES[cell.place]),
                    TIE_MARK if cell.tied else "",
                )
                for cell in cells
            )
        )
    return shown


def _head(column: Column) -> str:
    """Return the two lowest headings, one above the other; the data set is in the title."""
    group, own = ("", *column.heads)[-2:]
    own = own.replace(" (", "\n(", 1)  # a unit costs a line rather than columns
    return f"{group}\n{own}" if group else own
