"""Plain English: words that tell a story stay out of source and documents."""

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STORY = re.compile(
    r"\b(what is there|hears|lies|says so|comes to|is told|if so|for good|at hand|whatever|"
    r"nobody was there)\b",
    re.IGNORECASE,
)
SOURCES = sorted(
    file
    for name in ("bench", "methods", "datasets", "reports")
    for file in (ROOT / name).rglob("*.py")
)
DOCUMENTS = sorted(
    file
    for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks")
    for file in folder.glob("*.md")
    if file.name != "CHANGELOG.md"  # what was written then stays
)


def find_story(text: str) -> list[str]:
    return [found[0] for found in STORY.finditer(" ".join(text.split()))]


def read_words(file: Path) -> list[str]:
    """Return the strings and the comments of a Python file."""
    constants = [
        node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)
    ]
    strings = [node.value for node in constants if isinstance(node.value, str)]
    with tokenize.open(file) as lines:
        tokens = list(tokenize.generate_tokens(lines.readline))
    return strings + [token.string for token in tokens if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_source_says_it_plainly(file):
    found = [word for text in read_words(file) for word in find_story(text)]
    assert not found


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_documents_say_it_plainly(file):
    assert not find_story(file.read_text())


def test_the_words_are_found():
    assert find_story("The callback hears\n what is there.") == ["hears", "what is there"]
