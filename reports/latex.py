"""Tables in LaTeX that go into a paper as they are; booktabs is the only package needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reports.cells import BEST, SECOND, Column, build_columns
from reports.summary import MethodTable

COMMANDS = {0: "{}", BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}
LEGEND = "Best in bold, second underlined."
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
        "–": "--",
    }
    | {special: f"\\{special}" for special in "&%$#_{}"}
)


def format_latex(table: MethodTable) -> str:
    """Return a table environment with caption and label; everything in it is escaped and ASCII where the data are."""
    columns = build_columns(table)
    legend = [LEGEND] if any(any(column.places) for column in columns) else []
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escape(' '.join([*table.caption, *legend, *table.notes]))}}}",
        rf"  \label{{tab:{_slug(table.dataset)}-{_slug(table.backbone)}}}",
        rf"  \begin{{tabular}}{{{''.join('l' if column.head in ('Method', 'Note') else 'r' for column in columns)}}}",
        r"    \toprule",
        *_heads(columns),
        r"    \midrule",
        *(_line([_cell(column, index) for column in columns]) for index in range(len(table.rows))),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _heads(columns: Sequence[Column]) -> list[str]:
    """Return two rows: headings that span their columns with a rule below, and the columns' own names."""
    spans, rules, start = [], [], 1
    for name, members in groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{_escape(name)}}}" if name else " & ".join([""] * width))
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [_line(spans), f"    {' '.join(rules)}", _line([_escape(column.head) for column in columns])]


def _cell(column: Column, index: int) -> str:
    return COMMANDS[column.places[index]].format(_escape(column.texts[index]))


def _line(cells: Sequence[str]) -> str:
    return rf"    {' & '.join(cells)} \\"


def _escape(text: str) -> str:
    return text.translate(ESCAPES)


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)
