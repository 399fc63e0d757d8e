"""Results from before there were releases: read, printed as recorded, and found by their name.

`tests/bench/old_results` is what commit dd64316 left behind for BraTS 2019 phantoms, without the
pictures and the trained weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.tracking.store import open_store
from reports.records.release import ReleaseRecord
from reports.records.run import RunResult, read_result
from tests.reports.made_results import make_result

OLD = Path(__file__).parent.parent / "old_results"


@pytest.fixture
def store(
    tmp_path: Path, new_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A store with the old results and studies; its folder is the working directory."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path / "results")
    assert main(["sync"]) == 0
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["report", *options]) == 0
    return capsys.readouterr().out


def make_brats2019() -> list[RunResult]:
    release = ReleaseRecord("BraTS 2019", "brats", {"brats2020": "is contained in"})
    made = [make_result(name, weights="formula-vit (embedded)") for name in ("linear", "lora")]
    return [replace(each, dataset="brats2019", release=release) for each in made]


def test_the_records_have_no_release() -> None:
    for folder in (OLD / "runs").iterdir():
        result = read_result(folder)
        assert result is not None
        assert (result.dataset, result.release, result.dataset_title) == ("brats", None, "brats")


def test_they_are_printed_as_recorded(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ((), ("--dataset", "brats")):
        text = report(capsys, "--format", "csv", *options)
        head, linear, lora, *_ = text.splitlines()
        assert "brats:dice/mean" in head.split(",")
        assert linear.startswith("linear,0,0,0.033024,2.62541976188,1.257856,100,7.62584237085,")
        assert lora.startswith("lora,0.024576,")
    assert "BraTS (n = 2)" in report(capsys, "--format", "latex")
    assert "tuning · BraTS · Tiny ViT/8" in report(capsys, "--kind", "tuning")
    assert main(["report", "--dataset", "brats2019"]) == 2
    assert "--dataset must be among brats, got 'brats2019'" in capsys.readouterr().err


def test_they_stand_beside_those_of_a_release(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked = open_store()
    for result in make_brats2019():
        tracked.log_result(result, store / "nothing")
    both = report(capsys, "--format", "csv", "--dataset", "brats")
    assert {"brats:dice/mean", "brats2019:dice/mean"} <= set(both.splitlines()[0].split(","))
    one = report(capsys, "--format", "csv", "--dataset", "brats2019")
    assert "brats:dice/mean" not in one
    text = report(capsys, "--format", "latex")
    assert "BraTS (n = 2)" in text
    assert "BraTS 2019 (n = 10)" in text
    assert "BraTS is of an unrecorded release and may share cases with BraTS 2019." in text
