"""The terminal: tables, and consoles on which no text from elsewhere controls anything."""

from collections.abc import Iterable
from dataclasses import replace

from rich import markup
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from reports.records.text import make_printable, mask_passwords, one_line
from reports.tables.table import BEST, SECOND, TIE_MARK, Cell, Column, Table

UNBOUNDED = 10_000  # columns
STYLES = {0: "", BEST: "bold", SECOND: "underline"}


class SafeConsole(Console):
    """A console that spells the control characters of texts; its own sequences are no text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(make_printable(segment.text), segment.style)


def escape(text: object) -> str:
    """Return text that a console prints as it is, without passwords of addresses."""
    return markup.escape(make_printable(mask_passwords(str(text))))


def fit_columns(table: Table, console: Console) -> Table:
    """Return the table without its optional columns if it is too wide; a note names them."""
    kept: list[Column] = []
    left_out: list[Column] = []
    for column in table.columns:
        (left_out if column.optional else kept).append(column)
    unbounded = console.options.update(max_width=UNBOUNDED)  # else the width bounds the measure
    needed = console.measure(build_terminal_table(table), options=unbounded).maximum
    if needed <= console.width or not left_out:
        return table
    names = ", ".join(column.key for column in left_out)
    note = f"Too wide for this terminal, so left out: {names} (other formats have them)."
    return replace(table, columns=tuple(kept), notes=(*table.notes, note))


def build_terminal_table(table: Table) -> RichTable:
    """Return a tight Rich table: three regions fit into 80 columns; in fewer, cells wrap."""
    caption = Text("\n".join(map(one_line, [" ".join(table.caption), *table.notes])))
    title = Text(one_line(table.title), style="table.title")
    shown = RichTable(title=title, caption=caption, box=SIMPLE_HEAD, padding=0)
    shown.title_justify = shown.caption_justify = "left"
    shown.show_edge = False
    for column in table.columns:
        side: JustifyMethod = "left" if column.words else "right"
        shown.add_column(_head(column), justify=side, vertical="bottom", overflow="fold")
    for section, cells in table.iter_rows():
        if section:
            shown.add_row(Text(one_line(section), style="italic"))
        shown.add_row(*map(_cell, cells))
    return shown


def _cell(cell: Cell) -> Text:
    text = Text.assemble((one_line(cell.text).replace(" ± ", "±"), STYLES[cell.place]))
    text.append(cell.mark)
    if cell.tied:
        text.append(TIE_MARK)
    return text


def _head(column: Column) -> Text:
    """Return the two lowest headings, one above the other; the data set is in the title."""
    group, own = map(one_line, ("", *column.heads)[-2:])
    own = own.replace(" (", "\n(", 1)  # a unit costs a line rather than columns
    return Text(f"{group}\n{own}" if group else own)
