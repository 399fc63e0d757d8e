"""Tables in LaTeX: ``table*`` with booktabs and siunitx, shrunk to the text where it is wider."""

import re
from collections.abc import Iterable, Iterator

from reports.records.text import one_line
from reports.tables.table import BEST, MISSING, SECOND, Cell, Column, Table, span_heads

PACKAGES = "% needs \\usepackage{booktabs,siunitx,graphicx}"
HYPHENS = re.compile(r"-(?=-)")
ARGUMENT = re.compile(r"^[\[*]")
DAGGER = r"$^{\dagger}$"
ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        "±": r"$\pm$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "†": DAGGER,
        "‡": r"$^{\ddagger}$",
        "Δ": r"$\Delta$",
        "`": r"\textasciigrave{}",
        MISSING: "--",
    }
    | {special: f"\\{special}" for special in "&%$#_{}"}
)

WRAPS = {0: "{}", BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}


def format_latex(table: Table) -> str:
    """Return a table environment with caption and label, escaped; ASCII where the data are."""
    lines = [
        PACKAGES,
        *map(comment, table.comments),
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{escape(' '.join(table.caption))}}}",
        rf"  \label{{tab:{table.slug}}}",
        r"  \sisetup{separate-uncertainty, table-align-uncertainty, detect-weight, mode=text}",
        r"  \setlength{\tabcolsep}{3pt}\smallskip",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{{' '.join(map(_alignment, table.columns))}}}",
        r"    \toprule",
        *_heads(table.columns),
        r"    \midrule",
        *_body(table),
        r"    \bottomrule",
        r"  \end{tabular}}",
    ]
    if table.notes:
        lines.append(rf"  \par\smallskip\footnotesize {escape(' '.join(table.notes))}")
    return "\n".join([*lines, r"\end{table*}", ""])


def escape(text: str) -> str:
    """Return text on one line in which no letter has a meaning for LaTeX.

    A bracket or a star at its beginning would be read as an argument of the command before it, and
    two hyphens as a dash.
    """
    parts = [part.translate(ESCAPES) for part in HYPHENS.split(one_line(text))]
    return ARGUMENT.sub(r"{\g<0>}", "-{}".join(parts))


def comment(text: str) -> str:
    """Return text as one line of a comment."""
    return f"% {one_line(text)}"


class _Widths:
    """The room that siunitx must keep for the numbers of a column, in characters."""

    def __init__(self, column: Column) -> None:
        self.sign = ""
        self.whole = 0
        self.decimals = 0
        self.spread = 0
        self.tied = any(cell.tied for cell in column.cells)
        for cell in column.cells:
            if cell.is_number:
                self._widen(*cell.parts)

    def _widen(self, number: str, spread: str) -> None:
        whole, _, decimals = number.lstrip("+-").partition(".")
        if number[0] in "+-":
            self.sign = "+"
        self.whole = max(self.whole, len(whole))
        self.decimals = max(self.decimals, len(decimals))
        self.spread = max(self.spread, len(spread.replace(".", "")))


def _alignment(column: Column) -> str:
    if column.words:
        return "l"
    if any(cell.has_interval for cell in column.cells):
        return "c"
    widths = _Widths(column)
    if not widths.whole:
        return "c"
    room = f"{widths.sign}{widths.whole}.{widths.decimals}"
    if widths.spread:
        room += f"({widths.spread})"
    if widths.tied:
        room += f", table-space-text-post={{{DAGGER}}}"
    return f"S[table-format={room}]"


def _heads(columns: tuple[Column, ...]) -> Iterator[str]:
    """Yield a line per level of headings; a named heading has a rule below its columns."""
    for spans in span_heads(columns):
        names = []
        rules = []
        start = 1
        for name, width in spans:
            if name:
                names.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(name)}}}")
                rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            else:
                names.append(" & " * (width - 1))
            start += width
        yield _line(names)
        yield f"    {' '.join(rules)}"
    yield _line(map(_own_head, columns))


def _own_head(column: Column) -> str:
    head = escape(column.heads[-1])
    if column.words:
        return head
    return f"{{{head}}}"


def _body(table: Table) -> Iterator[str]:
    for index, (section, cells) in enumerate(table.iter_rows()):
        if section and index:
            yield r"    \midrule"
        if section:
            yield rf"    \multicolumn{{{len(cells)}}}{{l}}{{\textit{{{escape(section)}}}}} \\"
        yield _line(map(_cell, table.columns, cells))


def _cell(column: Column, cell: Cell) -> str:
    if column.words:
        return escape(cell.text + cell.mark)
    if not cell.is_number:
        return f"{{{escape(cell.text)}}}"
    mark = DAGGER if cell.tied else ""
    if any(other.has_interval for other in column.cells):
        return f"{{{WRAPS[cell.place].format(escape(cell.text))}{mark}}}"
    if cell.place == SECOND:
        return _underlined(cell, _Widths(column), mark)
    text = cell.text.replace(" ± ", " +- ") + mark
    if cell.place == BEST:
        return rf"\bfseries {text}"
    return text


def _underlined(cell: Cell, widths: _Widths, mark: str) -> str:
    """Return the second best value padded here, as siunitx cannot underline."""
    number, spread = cell.parts
    text = rf"\underline{{{number}}}"
    if spread:
        pad = _phantom("0" * (widths.spread - len(spread.replace(".", ""))))
        text += rf" $\pm$ {pad}{spread}"
    elif widths.spread:
        text += _phantom(rf" $\pm$ {'0' * widths.spread}.")
    if widths.tied and not mark:
        mark = _phantom(DAGGER)
    return f"{{{text}{mark}}}"


def _phantom(text: str) -> str:
    return rf"\phantom{{{text}}}" if text else ""


def _line(cells: Iterable[str]) -> str:
    return rf"    {' & '.join(cells)} \\"
