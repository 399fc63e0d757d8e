"""Tables for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Column, Table

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
        shown.add_column(
            _head(column),
            justify="left" if column.words else "right",
            vertical="bottom",
            overflow="fold",
        )
    for section, cells in table.iter_rows():
        if section:
            shown.add_row(Text(section, style="italic"))
        shown.add_row(*map(_cell, cells))
    return shown


def _cell(cell: Cell) -> Text:
    text = Text.assemble((cell.text.replace(" ± ", "±"), STYLES[cell.place]))
    if cell.tied:
        text.append(TIE_MARK)
    return text


def _head(column: Column) -> Text:
    """Return the two lowest headings, one above the other; the data set is in the title."""
    group, own = ("", *column.heads)[-2:]
    own = own.replace(" (", "\n(", 1)  # a unit costs a line rather than columns
    return Text(f"{group}\n{own}" if group else own)
