"""Tables in LaTeX that go into a paper as they are: booktabs, and siunitx for the alignment.

A table is a ``table*`` environment, which in one-column classes is an ordinary table; it shrinks to
the width of the text only if it is too wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from reports.tables.table import BEST, MISSING, SECOND, Cell, Column, Table

PACKAGES = "% needs \\usepackage{booktabs,siunitx,graphicx}"
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
        "Δ": r"$\Delta$",
        MISSING: "--",
    }
    | {special: f"\\{special}" for special in "&%$#_{}"}
)


def format_latex(table: Table) -> str:
    """Return a table environment with caption and label; everything in it is escaped, and ASCII where the data are."""
    lines = [
        PACKAGES,
        *(f"% {line}" for line in table.comments),
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{escape(' '.join(table.caption))}}}",
        rf"  \label{{tab:{table.slug}}}",
        r"  \sisetup{separate-uncertainty, table-align-uncertainty, detect-weight, mode=text}",
        r"  \setlength{\tabcolsep}{3pt}\smallskip",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{{' '.join(_alignment(column) for column in table.columns)}}}",
        r"    \toprule",
        *_heads(table.columns),
        r"    \midrule",
        *_body(table),
        r"    \bottomrule",
        r"  \end{tabular}}",
        *(
            [rf"  \par\smallskip\footnotesize {escape(' '.join(table.notes))}"]
            if table.notes
            else []
        ),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text in which no letter has a meaning for LaTeX."""
    return text.translate(ESCAPES)


def _alignment(column: Column) -> str:
    numbers = [cell for cell in column.cells if cell.is_number]
    if column.words or not numbers:
        return "l" if column.words else "c"
    before, digits, spread = _widths(column)
    post = (
        f", table-space-text-post={{{DAGGER}}}" if any(cell.tied for cell in column.cells) else ""
    )
    uncertainty = f"({spread})" if spread else ""
    return rf"S[table-format={before}.{digits}{uncertainty}{post}]"


def _widths(column: Column) -> tuple[str, int, int]:
    """Return what siunitx must reserve: sign and digits before the point, decimals, digits of the spread."""
    texts = [cell.text.split(" ± ") for cell in column.cells if cell.is_number]
    before = max(len(text[0].lstrip("+-").partition(".")[0]) for text in texts)
    digits = max(len(text[0].partition(".")[2]) for text in texts)
    spread = max((len(text[1].replace(".", "")) for text in texts if len(text) > 1), default=0)
    sign = "+" if any(text[0][0] in "+-" for text in texts) else ""
    return f"{sign}{before}", digits, spread


def _heads(columns: Sequence[Column]) -> list[str]:
    """Return a row per level of headings; a heading spans its neighbours of the same name, with a rule below."""
    levels = len(columns[0].heads)
    lines = []
    for level in range(levels - 1):
        spans, rules, start = [], [], 1
        for heads, members in groupby(columns, key=lambda column: column.heads[: level + 1]):
            width = len(list(members))
            name = heads[-1]
            spans.append(
                rf"\multicolumn{{{width}}}{{c}}{{{escape(name)}}}"
                if name
                else " & ".join([""] * width)
            )
            if name:
                rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            start += width
        if rules:
            lines += [_line(spans), f"    {' '.join(rules)}"]
    return [*lines, _line([_own_head(column) for column in columns])]


def _own_head(column: Column) -> str:
    return escape(column.heads[-1]) if column.words else f"{{{escape(column.heads[-1])}}}"


def _body(table: Table) -> Iterator[str]:
    for index in range(table.n_rows):
        if index in table.sections:
            yield from [r"    \midrule"] if index else []
            yield rf"    \multicolumn{{{len(table.columns)}}}{{l}}{{\textit{{{escape(table.sections[index])}}}}} \\"
        yield _line([_cell(column, column.cells[index]) for column in table.columns])


def _cell(column: Column, cell: Cell) -> str:
    if column.words:
        return escape(cell.text)
    if not cell.is_number:
        return f"{{{escape(cell.text)}}}"
    mark = DAGGER if cell.tied else ""
    number, _, spread = cell.text.partition(" ± ")
    if cell.place != SECOND:
        bold = r"\bfseries " if cell.place == BEST else ""
        return f"{bold}{number}{f' +- {spread}' if spread else ''}{mark}"
    room = (
        rf"\phantom{{{DAGGER}}}"
        if not cell.tied and any(other.tied for other in column.cells)
        else mark
    )
    return f"{{{_underlined(column, number, spread)}{room}}}"


def _underlined(column: Column, number: str, spread: str) -> str:
    """Return a cell that siunitx does not read, as it knows no underline, padded to the width of those it reads."""
    before, _, digits = _widths(column)
    whole = number.partition(".")[0]
    left = "0" * (len(before.lstrip("+")) - len(whole.lstrip("+-")))
    text = (rf"\phantom{{{left}}}" if left else "") + rf"\underline{{{number}}}"
    if digits:
        inner = "0" * (digits - len(spread.replace(".", ""))) if spread else ""
        pad = rf"\phantom{{{inner}}}" if inner else ""
        text += rf" $\pm$ {pad}{spread}" if spread else rf"\phantom{{ $\pm$ {'0' * digits}.}}"
    return text


def _line(cells: Sequence[str]) -> str:
    return rf"    {' & '.join(cells)} \\"
