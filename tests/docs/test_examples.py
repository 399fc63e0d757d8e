"""The example of an own method in the documents does what it declares."""

import re
from pathlib import Path

import pytest

from bench.cli.app import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-method.md"


@pytest.mark.slow
def test_the_example_of_an_own_method_passes_the_checks(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_method.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["check", "my_method:ScaleMlp", "--backbone", "tiny_vit"]) == 0
    assert "fails" not in capsys.readouterr().out
