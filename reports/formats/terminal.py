"""Tables for the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Column, Table

STYLES = {0: "", BEST: "bold", SECOND: "underline"}


def build_terminal_table(table: Table) -> RichTable:
    """Return a tight Rich table: three regions fit into 80 columns; in fewer, cells wrap."""
    caption = Text("\n".join([" ".join(table.caption), *table.notes]))
    shown = RichTable(title=table.title, caption=caption, box=SIMPLE_HEAD, padding=0)
    shown.title_justify = shown.caption_justify = "left"
    shown.show_edge = False
    for column in table.columns:
        side: JustifyMethod = "left" if column.words else "right"
        shown.add_column(_head(column), justify=side, vertical="bottom", overflow="fold")
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
