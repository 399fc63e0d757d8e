"""Articles out of docstrings, and pieces of Markdown."""

import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 118  # columns of a line of prose
LABELS = ("Reference", "Our choices")


@dataclass(frozen=True)
class Article:
    """What the docstring of a method's module says, as paragraphs of Markdown."""

    reference: str | None
    body: tuple[str, ...]
    choices: str | None


def read_article(module: str) -> Article:
    """Return the article in the docstring of a module that has been imported."""
    docstring = sys.modules[module].__doc__ or ""
    head, *paragraphs = docstring.strip("\n").split("\n\n")
    body = [wrap(capitalise(join(head).partition(": ")[2]))]
    labelled = {}
    for paragraph in paragraphs:
        label, colon, text = join(paragraph).partition(": ")
        if paragraph.startswith("    "):
            body.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
        elif colon and label in LABELS:
            labelled[label] = text
        else:
            body.append(wrap(join(paragraph)))
    return Article(labelled.get("Reference"), tuple(body), labelled.get("Our choices"))


def format_article(article: Article, url: str = "") -> list[str]:
    """Return the paragraphs of an article; ``url`` is that of its reference."""
    parts = list(article.body)
    if article.reference:
        paper = f"**Paper.** {article.reference}" + (f" <{url}>" if url else "")
        parts.insert(0, wrap(paper))
    if article.choices:
        parts.append(wrap(f"**Where we differ.** {capitalise(article.choices)}"))
    return parts


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns that hold numbers alone keep to the right."""
    rules = []
    for column in range(len(headings)):
        numeric = all(re.fullmatch(r"[\d,.]+", row[column]) for row in rows)
        rules.append("--:" if numeric else "---")
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rules, *rows))


def join(paragraph: str) -> str:
    """Return a paragraph as one line, its code marked as in Markdown."""
    return " ".join(paragraph.split()).replace("``", "`")


def wrap(prose: str) -> str:
    """Return paragraphs in lines of `WIDTH`."""
    paragraphs = (" ".join(each.split()) for each in prose.split("\n\n"))
    return "\n\n".join(map(_fill, paragraphs))


def wrap_item(item: str) -> str:
    """Return an item of a list in lines of `WIDTH`."""
    return _fill(f"* {' '.join(item.split())}", indent="  ")


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def capitalise(text: str) -> str:
    """Return a text with a capital letter at its start."""
    return text[:1].upper() + text[1:]
