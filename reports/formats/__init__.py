"""One file a format: LaTeX, Markdown, CSV, terminal, macros."""

from collections.abc import Callable

from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.formats.spreadsheet import format_csv
from reports.tables.table import Table

FORMATS: dict[str, Callable[[Table], str]] = {
    "latex": format_latex,
    "markdown": format_markdown,
    "csv": format_csv,
}
