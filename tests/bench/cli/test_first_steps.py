"""The first commands of a new user lead on: what they print works, and what is missing is named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bench.cli.app import main


def test_the_command_that_demo_prints_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "it's [my] data"
    words = ["data", "demo", "--dataset", "kits19", "--out", str(out)]
    assert main([*words, "--cases", "4"]) == 0
    first, command = capsys.readouterr().out.strip().splitlines()
    assert first == "wrote 4 synthetic cases; use them with"
    typed = shlex.split(command)
    assert typed[:6] == ["python", "-m", "bench", "run", "--preset", "demo"]
    assert main(["plan", *typed[4:], "--methods", "linear"]) == 0
    assert "1 run in results/runs: 0 done, 1 to do" in capsys.readouterr().out


def test_a_single_case_is_good_for_a_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "one"
    assert main(["data", "demo", "--cases", "1", "--out", str(out)]) == 0
    first, command = capsys.readouterr().out.strip().splitlines()
    assert first == "wrote 1 synthetic case; use them with"
    assert main(shlex.split(command)[3:]) == 0


def test_a_missing_folder_is_told_before_missing_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--datasets", "brats2020", "--data-root", str(tmp_path / "nowhere")]
    words += ["--preset", "quick", "--weights", str(tmp_path / "none.safetensors")]
    assert main(["plan", *words, "--methods", "linear"]) == 2
    printed = capsys.readouterr().err
    assert f"no folder {tmp_path}/nowhere" in printed
    assert "none.safetensors" not in printed


@pytest.mark.parametrize(
    "words",
    [
        ["report"],
        ["report", "--case-scores"],
        ["report", "--kind", "tuning"],
        ["compare", "a", "b"],
    ],
)
def test_a_place_without_results_is_one_sentence_and_stays_empty(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert re.search(r"the tracking store holds no (result yet|tuning study) \(make some", printed)
    assert len(printed.splitlines()) == 1
    assert not list(tmp_path.iterdir())
