"""Tables in LaTeX as they go to print: booktabs, numbers of siunitx, a caption of three lines."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports.formats.tex.captions import format_notes, make_label, write_caption
from reports.formats.tex.cells import list_heads, list_rows, specify_columns
from reports.formats.tex.layout import Form, Sheet, plan_sheets
from reports.formats.tex.signs import find_foreign
from reports.formats.tex.venues import VENUES, Printing
from reports.formats.tex.widths import LEAD
from reports.records.text import one_line
from reports.tables.table import Table

if TYPE_CHECKING:  # it imports pandas, and `--help` imports the formats
    from reports.tables.build import ReportRequest

DEFAULT = Printing()
NOTES = "notes.tex"  # end of the name of a file
ENVIRONMENTS = {Form.COLUMN: "table", Form.FULL: "table*", Form.TURNED: "sidewaystable*"}
PACKAGES = {Form.TURNED: ",rotating", Form.LONG: ",longtable"}
SETTINGS = (
    r"\sisetup{separate-uncertainty, table-align-uncertainty, detect-weight, mode=text, "
    r"retain-explicit-plus}"
)
SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"

ONE_COLUMN = (
    r"\makeatletter\if@twocolumn\onecolumn\def\benchback{\twocolumn}"
    r"\else\let\benchback\relax\fi\makeatother"
)


def read_printing(request: "ReportRequest") -> Printing:
    """Return how the tables of a request are printed."""
    return Printing(VENUES[request.venue], request.caption, request.label)


def format_latex(table: Table, how: Printing = DEFAULT) -> str:
    """Return the table for a venue: one environment, or one for each part of a wide table."""
    sheets = plan_sheets(table, how.venue)
    lines = []
    for number, sheet in enumerate(sheets):
        lines += _format_sheet(sheet, how, make_label(sheet, how, number))
    return "\n".join([*_list_needs(table, sheets, how), *map(comment, table.comments), *lines, ""])


def format_all(tables: Sequence[Table], how: Printing = DEFAULT) -> tuple[str, str, list[str]]:
    """Return the tables, their notes for a file of its own, and how layouts differ from tables."""
    texts = [format_latex(table, how) for table in tables]
    return "\n".join(texts), *describe_all(tables, how)


def describe_all(tables: Sequence[Table], how: Printing = DEFAULT) -> tuple[str, list[str]]:
    """Return the notes of `format_all`, and how layouts differ from tables."""
    noted = []
    remarks: list[str] = []
    for table in tables:
        sheets = plan_sheets(table, how.venue)
        labels = [make_label(sheet, how, number) for number, sheet in enumerate(sheets)]
        noted.append((table, labels, sheets))
        for sheet in sheets:
            remarks += sheet.remarks
    return format_notes(noted), remarks


def _list_needs(table: Table, sheets: Sequence[Sheet], how: Printing) -> Iterator[str]:
    """Yield comments: which program and packages it needs, and in what it is not the table."""
    foreign = find_foreign(" ".join(_list_texts(table)))
    if foreign:
        signs = ", ".join(f"U+{ord(sign):04X}" for sign in foreign)
        yield f"% needs lualatex and a font with {signs}; pdflatex prints these numbers"
    packages = "".join(sorted({PACKAGES.get(sheet.form, "") for sheet in sheets}))
    if any("✓" in text for text in _list_texts(table)):
        packages += ",amssymb"
    yield rf"% needs \usepackage{{booktabs,siunitx,graphicx{packages}}}; for {how.venue.document}"
    for sheet in sheets:
        yield from map(comment, sheet.remarks)


def _list_texts(table: Table) -> Iterator[str]:
    yield from (*table.caption, *table.notes, *table.sections.values())
    for column in table.columns:
        yield from column.heads
        yield from (cell.text for cell in column.cells)


def _format_sheet(sheet: Sheet, how: Printing, label: str) -> list[str]:
    if sheet.form is Form.LONG:
        return _format_long(sheet, how, label)
    environment = ENVIRONMENTS[sheet.form]
    return [
        rf"\begin{{{environment}}}[tp]",
        r"  \centering",
        rf"  \caption{{{write_caption(sheet, how)}}}",
        rf"  \label{{{label}}}",
        f"  {_set_style(sheet)}",
        f"  {SETTINGS}",
        r"  \smallskip",
        f"  {SHRUNK}",
        rf"  \begin{{tabular}}{{@{{}}{' '.join(specify_columns(sheet))}@{{}}}}",
        r"    \toprule",
        *list_heads(sheet),
        r"    \midrule",
        *list_rows(sheet),
        r"    \bottomrule",
        r"  \end{tabular}}",
        rf"\end{{{environment}}}",
    ]


def _format_long(sheet: Sheet, how: Printing, label: str) -> list[str]:
    """Return a table over several pages; two columns become one for as long."""
    count = len(sheet.table.columns)
    heads = [r"    \toprule", *list_heads(sheet), r"    \midrule"]
    return [
        ONE_COLUMN,
        rf"\begingroup{_set_style(sheet)}\setlength{{\LTcapwidth}}{{\linewidth}}",
        f"  {SETTINGS}",
        rf"  \begin{{longtable}}{{@{{}}{' '.join(specify_columns(sheet))}@{{}}}}",
        rf"    \caption{{{write_caption(sheet, how)}}}\label{{{label}}} \\",
        *heads,
        r"    \endfirsthead",
        rf"    \multicolumn{{{count}}}{{@{{}}l}}{{\textit{{continued}}}} \\",
        *heads,
        r"    \endhead",
        r"    \bottomrule",
        r"    \endfoot",
        *list_rows(sheet),
        r"  \end{longtable}",
        r"\endgroup\benchback",
    ]


def _set_style(sheet: Sheet) -> str:
    size = rf"\fontsize{{{sheet.size_pt:g}}}{{{LEAD * sheet.size_pt:.1f}}}\selectfont"
    return rf"{size}\setlength{{\tabcolsep}}{{3pt}}"


def comment(text: str) -> str:
    """Return text as one line of a comment."""
    return f"% {one_line(text)}"
