"""Numbers for running text: a LaTeX command per cell, so that no number is typed by hand."""

import hashlib
import re
from collections.abc import Iterator, Sequence

from reports.formats.tex.signs import escape
from reports.tables.table import Table

NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def format_macros(tables: Sequence[Table]) -> str:
    r"""Return ``\newcommand`` lines: ``\benchTinyVitNoneBratsLoraDiceMean``, its spread ``...Sd``.

    Names that differ in signs alone, which a command cannot have, end in letters of their hash.
    Raises: ValueError if two cells have one name.
    """
    found: dict[str, dict[str, str]] = {}  # command -> the words that it is made of -> number
    for table in tables:
        for words, end, text in _name_numbers(table):
            name = _camel(words) + end
            if found.setdefault(name, {}).setdefault(words, text) != text:
                raise ValueError(f"report: a macro must stand for one number, got two for {name}")
    lines = []
    for name, numbers in found.items():
        for words, text in numbers.items():
            own = name if len(numbers) == 1 else f"{name}X{_hash_letters(words)}"
            lines.append(rf"\newcommand{{\{own}}}{{{escape(text)}}}")
    return "\n".join(["% numbers of the tables, for running text", *lines, ""])


def _name_numbers(table: Table) -> Iterator[tuple[str, str, str]]:
    """Yield the words that name a number, the end of the command's name, and the number."""
    methods = table.columns[0].cells
    for column in table.columns[1:]:
        dataset, _, key = column.key.rpartition(":")
        context = f"{table.context} {dataset}" if table.context else table.slug
        for method, cell in zip(methods, column.cells, strict=True):
            if column.words or not cell.is_number:
                continue
            words = f"bench {context} {method.own_key} {key}"
            number, spread = cell.parts
            yield words, "", number
            if spread:
                yield words, "Sd", spread


def _hash_letters(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digest[:6])


def _camel(text: str) -> str:
    """Return letters only, as LaTeX demands: words joined with capitals, digits spelt out."""
    spelt = re.sub(r"\d", lambda match: f" {NAMES[int(match[0])]} ", text)
    first, *others = map(str, re.findall(r"[A-Za-z]+", spelt))
    return first + "".join(word[0].upper() + word[1:] for word in others)
