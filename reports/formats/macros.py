"""Numbers for running text: a LaTeX command per cell, so that no number is typed by hand."""

import re
from collections.abc import Iterator, Sequence

from reports.formats.latex import escape
from reports.tables.table import Table

NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def format_macros(tables: Sequence[Table]) -> str:
    r"""Return ``\newcommand`` lines: ``\benchTinyVitNoneBratsLoraDiceMean``, its spread ``...Sd``.

    Raises: ValueError if two cells have one name.
    """
    commands: dict[str, str] = {}
    for table in tables:
        for name, text in _name_numbers(table):
            if commands.setdefault(name, text) != text:
                raise ValueError(f"report: a macro must stand for one number, got two for {name}")
    lines = [rf"\newcommand{{\{name}}}{{{escape(text)}}}" for name, text in commands.items()]
    return "\n".join(["% numbers of the tables, for running text", *lines, ""])


def _name_numbers(table: Table) -> Iterator[tuple[str, str]]:
    methods = table.columns[0].cells
    for column in table.columns[1:]:
        dataset, _, key = column.key.rpartition(":")
        context = f"{table.context} {dataset}" if table.context else table.slug
        for method, cell in zip(methods, column.cells, strict=True):
            if column.words or not cell.is_number:
                continue
            name = _camel(f"bench {context} {method.text} {key}")
            number, spread = cell.parts
            yield name, number
            if spread:
                yield f"{name}Sd", spread


def _camel(text: str) -> str:
    """Return letters only, as LaTeX demands: words joined with capitals, digits spelt out."""
    spelt = re.sub(r"\d", lambda match: f" {NAMES[int(match[0])]} ", text)
    first, *others = map(str, re.findall(r"[A-Za-z]+", spelt))
    return first + "".join(word[0].upper() + word[1:] for word in others)
