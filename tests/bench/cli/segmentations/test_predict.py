"""`bench predict` refuses a place that it cannot write to before any network is loaded."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.cli.app import main
from bench.prediction import networks
from datasets import many_cases


def test_an_output_that_is_no_folder_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = SimpleNamespace(header=SimpleNamespace(spec=SimpleNamespace(root=tmp_path)), info=None)
    monkeypatch.setattr(networks, "find_runs", lambda *_: (run,))
    monkeypatch.setattr(many_cases, "find_many_cases", lambda *_: ([], []))
    monkeypatch.setattr(networks, "load_networks", lambda *_: pytest.fail("it takes a while"))
    (tmp_path / "file").touch()
    arguments = ["predict", "--run", "r", "--input", "cases", "--device", "cpu", "--output"]
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main([*arguments, str(output)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}: File exists")
