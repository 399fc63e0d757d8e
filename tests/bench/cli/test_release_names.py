"""Commands take and print the names of releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import datasets
from bench.cli.app import main
from bench.cli.options import Request
from bench.cli.request import read_request
from tests.datasets.roots.build import glioma, kidney, save, truth


def test_the_list_has_every_release_by_the_name_that_is_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["list", "datasets"]) == 0
    first_words = [line.strip("│┃ ").split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert set(datasets.releases()) <= set(first_words)


def test_demo_data_of_a_release_are_checked_split_and_scored_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path / "root")
    assert main(["data", "demo", "--dataset", "kits21", "--cases", "3", "--out", root]) == 0
    assert f"--datasets kits21 --data-root {root}" in capsys.readouterr().out
    where = ["--data-root", root]
    assert main(["data", "check", "--datasets", "kits21", *where, "--jobs", "1"]) == 0
    assert f"KiTS21 (kits21) in {root}: 3 cases" in capsys.readouterr().out
    assert main(["data", "check", "--datasets", "kits23", *where]) == 2
    assert f"{root} must hold KiTS23, got KiTS21" in capsys.readouterr().err
    folds = ["data", "splits", "--folds", "3", "--out", str(tmp_path / "splits.json")]
    assert main([*folds, "--datasets", "kits21", *where]) == 0
    capsys.readouterr()
    label = str(next(Path(root).rglob("*MAJ_seg.nii.gz")))
    files = ["--reference", label, "--prediction", label]
    assert main(["score", *files, "--dataset", "kits23", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["dataset"], record["release"], record["release_assumed"]) == (
        *("kits23", "kits23"),
        False,
    )


def test_demo_refuses_a_layout_of_another_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "root")]
    assert main(["data", "demo", "--dataset", "brats2019", "--layout", "brats2020", *out]) == 2
    assert "layout 'brats2020' is one of brats, got data set brats2019" in capsys.readouterr().err
    assert main(["data", "demo", "--dataset", "brats2022", *out]) == 2
    assert "unknown data set 'brats2022' (did you mean 'brats2" in capsys.readouterr().err


def test_a_release_that_is_guessed_is_warned_of_before_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        kidney(tmp_path / "root", f"case_{number:05d}")
    (tmp_path / "root" / "kits19").rename(tmp_path / "root" / "data")
    small = ["--preset", "demo", "--methods", "linear", "--set", "data.patch=16,32,32"]
    plan = ["plan", *small, "--data-root", str(tmp_path / "root"), "--out", str(tmp_path / "out")]
    sentence = "is read as KiTS19, the names would fit KiTS23 as well"
    assert main([*plan, "--datasets", "kits"]) == 0
    assert sentence in capsys.readouterr().out
    assert main([*plan, "--datasets", "kits23"]) == 0
    printed = capsys.readouterr().out
    assert sentence not in printed
    assert "kits23" in printed


def test_the_release_that_a_user_names_goes_before_the_guess(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kidney(tmp_path)
    where = ["--data-root", str(tmp_path), "--release", "kits23"]
    assert main(["data", "check", *where, "--jobs", "1", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["dataset"], record["release"], record["problems"]) == ("kits23", "kits23", [])
    for other in ("kits", "kits23"):
        assert main(["data", "check", "--datasets", other, *where, "--jobs", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["dataset"] == "kits23"
    assert main(["data", "check", "--datasets", "brats", *where]) == 2
    rule = "--release: kits23 is a release of kits, got --datasets brats"
    assert rule in capsys.readouterr().err
    assert main(["data", "check", "--data-root", str(tmp_path), "--release", "kits20"]) == 2
    assert "unknown release 'kits20' (did you mean 'kits2" in capsys.readouterr().err


@pytest.mark.parametrize("root", ["{}", "kits={}", "kits23={}"])
def test_runs_are_of_the_release_that_a_user_names(root: str, tmp_path: Path) -> None:
    request = Request(datasets="kits", release="kits23", data_root=[root.format(tmp_path)])
    assert read_request(request).roots == {"kits23": tmp_path}


def test_phantoms_are_of_the_release_that_a_user_names(tmp_path: Path) -> None:
    request = Request(release="ssa2023", out=tmp_path)
    assert list(read_request(request).roots) == ["ssa2023"]


def test_plan_and_splits_take_the_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 11):
        kidney(tmp_path, f"case_{number:05d}")
    words = ["--datasets", "kits", "--release", "kits23", "--data-root", str(tmp_path)]
    out = ["--out", str(tmp_path / "splits.json"), "--folds", "2"]
    assert main(["data", "splits", *words, *out]) == 0
    small = ["--preset", "demo", "--methods", "linear", "--set", "data.patch=16,32,32"]
    capsys.readouterr()
    assert main(["plan", *words, *small, "--out", str(tmp_path / "out")]) == 0
    assert "kits23" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("BraTS-PED-00001-000-seg.nii.gz", "give --release ped2023 or --release ped2024"),
        ("BraTS-MEN-RT-0005-1_gtv.nii.gz", "BraTS-MEN-RT, meningiomas before radiotherapy"),
        ("BraTS-NEW-00001-000-seg.nii.gz", "a task of BraTS that is not known here"),
    ],
)
def test_labels_are_never_scored_by_another_releases_meaning(
    name: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(save(tmp_path / name, truth(1, 2, 3)))
    words = ["score", "--dataset", "brats", "--reference", file, "--prediction", file, "--json"]
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
    if "PED" in name:
        assert main([*words, "--release", "ped2024"]) == 0
        assert json.loads(capsys.readouterr().out)["release"] == "ped2024"


def test_a_file_of_the_users_own_beside_the_cases_is_no_task(tmp_path: Path) -> None:
    glioma(tmp_path)
    save(tmp_path / "BraTS-ensemble-mean.nii.gz", truth(1))
    assert datasets.build("brats", tmp_path).info.name == "brats2020"
