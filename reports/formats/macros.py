"""Numbers for running text: a LaTeX command per cell, so that no number in a paper is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.formats.latex import escape
from reports.tables.table import Table

NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def format_macros(tables: Sequence[Table]) -> str:
    r"""Return ``\newcommand`` lines: ``\benchTinyVitNoneBratsLoraDiceMean``, and the same with ``Sd`` for the spread.

    Raises: ValueError if two cells would have one name.
    """
    commands: dict[str, str] = {}
    for table in tables:
        for column in table.columns[1:]:
            dataset, _, key = column.key.rpartition(":")
            context = f"{table.context} {dataset}" if table.context else table.slug
            for row, cell in zip(table.columns[0].cells, column.cells, strict=True):
                if not column.words and cell.is_number:
                    name = _camel(f"bench {context} {row.text} {key}")
                    number, _, spread = cell.text.partition(" ± ")
                    for command, text in ((name, number), (f"{name}Sd", spread)):
                        if text and commands.setdefault(command, text) != text:
                            raise ValueError(
                                f"report: a macro must stand for one number, got two for {command}"
                            )
    lines = [rf"\newcommand{{\{name}}}{{{escape(text)}}}" for name, text in commands.items()]
    return "\n".join(["% numbers of the tables, for running text", *lines, ""])


def _camel(text: str) -> str:
    """Return letters only, as LaTeX demands: words joined with capitals, digits spelt out."""
    spelt = re.sub(r"\d", lambda match: f" {NAMES[int(match[0])]} ", text)
    first, *others = map(str, re.findall(r"[A-Za-z]+", spelt))
    return first + "".join(word[0].upper() + word[1:] for word in others)
