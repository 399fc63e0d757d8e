"""The guide of the methods, docs/methods.md."""

import re
from pathlib import Path

import methods
from docs.generate_methods import COMMAND, PLACES, read_article, write_guide
from methods.sites import Role

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


def test_the_guide_in_the_repository_is_up_to_date():
    assert GUIDE.read_text() == write_guide(), f"run: {COMMAND}"


def test_the_guide_has_an_article_for_every_method():
    guide = GUIDE.read_text()
    for name in methods.names():
        method = methods.build(name)
        article = read_article(method)
        assert f"### `{name}`" in guide
        assert all(f"| `{setting}` |" in guide for setting in methods.settings(method))
        assert article.body[0][0].isupper()
        if method.info.url:
            assert article.reference
            assert article.choices
            assert any(paragraph.startswith("```text\n") for paragraph in article.body)
    assert set(PLACES) == set(Role)
    assert not re.search(r"``[^`]", guide.replace("```", ""))
