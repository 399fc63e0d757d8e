"""The guide of the methods, docs/methods.md."""

import re
from pathlib import Path

import methods
from bench.models import registry
from docs.articles import read_article
from docs.generate_methods import COMMAND, PLACES, write_guide
from methods.sites import Role

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


def test_the_guide_in_the_repository_is_up_to_date():
    assert GUIDE.read_text() == write_guide(), f"run: {COMMAND}"


def test_the_guide_has_an_article_for_every_method():
    guide = GUIDE.read_text()
    for name in methods.names():
        method = methods.build(name)
        article = read_article(type(method).__module__)
        assert f"### `{name}`" in guide
        assert all(f"| `{setting}` |" in guide for setting in methods.settings(method))
        assert article.body[0][0].isupper()
        if method.info.url:
            assert article.reference
            assert article.choices
            assert any(paragraph.startswith("```text\n") for paragraph in article.body)
    assert set(PLACES) == set(Role)


def test_the_guide_has_an_article_for_every_decoder():
    guide = GUIDE.read_text().partition("\n## Decoders\n")[2]
    for name, info in registry.DECODERS.items():
        article = read_article(info.builder.split(":")[0])
        headings = [line for line in guide.splitlines() if line.startswith("### ")]
        (heading,) = (line for line in headings if f"`{name}`" in line)
        text = guide.partition(heading)[2].partition("\n### ")[0]
        assert article.reference in " ".join(text.split())
        if name.endswith("_medtuning"):
            assert "**Where we differ.**" in text
            assert any(paragraph.startswith("```text\n") for paragraph in article.body)


def test_code_is_marked_as_in_markdown():
    guide = GUIDE.read_text()
    assert not re.search(r"``[^`]", guide.replace("```", ""))
