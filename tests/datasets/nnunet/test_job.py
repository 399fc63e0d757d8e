"""The whole way on a raw folder of nnU-Net: plan, run, report, predict, score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.app import main
from tests.datasets.nnunet.conftest import write_root

pytestmark = pytest.mark.slow


def test_a_run_on_a_raw_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the store of MLflow is
    name, raw = "Dataset137_Tumour", tmp_path / "raw"
    root = write_root(raw)
    words = ["--datasets", name, "--data-root", str(raw), "--methods", "linear", "--epochs", "1"]
    words += [
        "--preset",
        "demo",
        "--set",
        "data.patches_per_epoch=1",
        "--set",
        "data.patch=4,32,32",
    ]
    assert main(["plan", *words]) == 0
    assert "1 run in results/runs: 0 done, 1 to do" in capsys.readouterr().out
    assert main(["run", *words, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert all(region in printed for region in ("whole", "core", "rim"))
    (result,) = (tmp_path / "results" / "runs").glob("*/result.json")
    record = json.loads(result.read_text())
    assert record["dataset"] == name
    assert record["protocol"]["dataset"]["scaling"] == "z-score within the body"
    assert {row["region"] for row in record["cases"]} == {"whole", "core", "rim"}
    assert main(["report", "--dataset", name]) == 0
    assert name in capsys.readouterr().out
    options = ["--input", str(root / "imagesTs"), "--output", str(tmp_path / "predicted")]
    assert main(["predict", "--run", result.parent.name, "--device", "cpu", *options]) == 0
    assert [path.name for path in (tmp_path / "predicted").glob("*.nii.gz")] == ["case_007.nii.gz"]
    options = ["--input", str(root), "--output", str(tmp_path / "all")]
    assert main(["predict", "--run", result.parent.name, "--device", "cpu", *options]) == 0
    (tmp_path / "all" / "case_007.nii.gz").unlink()  # it has no label
    capsys.readouterr()
    folders = ["--reference", str(root / "labelsTr"), "--prediction", str(tmp_path / "all")]
    assert main(["score", "--dataset", name, *folders, "--json"]) == 0
    scores = {
        (row["case"], row["region"]): row for row in json.loads(capsys.readouterr().out)["cases"]
    }
    for row in record["cases"]:
        assert scores[row["case"], row["region"]]["dice"] == pytest.approx(row["dice"], abs=1e-9)
