"""Sentences of one cause become one group, with the number of cases and the range of figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.app import main
from datasets.base import BadCasesError, Problem
from datasets.grouping import group_sentences
from tests.datasets.roots.build import glioma, kidney, label_of, liver, save, scan, volume_of
from tests.datasets.roots.headers import place


def say(case: str, figure: float, cause: str = "is") -> tuple[str, str]:
    return case, f"/a b/1/{case}.nii.gz: file of case {case} {cause} {figure:g} mm away (x1)"


def test_case_file_and_figures_do_not_make_a_cause() -> None:
    items = [say("c_1", 5), say("c_2", 0.25), ("", "the root is odd"), say("c_3", 5, "lies")]
    first, root, other = group_sentences(items)
    assert first.cases == ("c_1", "c_2")
    assert first.sentences == (items[0][1], items[1][1])
    assert first.ranges == ((0.25, 5.0),)
    assert first.range_text == "0.25 to 5"
    assert first.others_text == "the same in 1 other case: c_2; figures from 0.25 to 5"
    assert (root.cases, root.others_text, root.ranges) == ((), "", ())
    assert other.cases == ("c_3",)


def test_names_with_digits_are_no_figures() -> None:
    items = [("a", "case a has no t1 volume"), ("b", "case b has no t2 volume")]
    assert [group.cases for group in group_sentences(items)] == [("a",), ("b",)]


def test_the_error_of_many_bad_cases_is_as_short() -> None:
    problems = [Problem(case, text) for case, text in (say(f"c_{n}", n) for n in range(200))]
    lines = str(BadCasesError("lits17: /root", problems)).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("lits17: /root: 200 cases cannot be used (--skip-bad-cases")
    assert lines[2].strip() == (
        "the same in 199 other cases: c_1, c_2, c_3 and 196 more; figures from 0 to 199"
    )


def test_a_clone_with_labels_alone_is_one_row_and_its_labels_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(12):
        kidney(tmp_path, f"case_{number:05d}")
        (tmp_path / f"kits19/case_{number:05d}/imaging.nii.gz").unlink()
    save(tmp_path / "kits19/case_00003/segmentation.nii.gz", scan(), "IPL")
    words = ["data", "check", "--data-root", str(tmp_path), "--jobs", "1"]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "12: case_00000, case_00001, case_00002 and 9 more" in printed.replace("\n", " ")
    assert printed.count("has no ct volume") == 1
    assert len(printed.splitlines()) < 20
    assert main([*words, "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)
    assert len(record["problems"]) == 13
    first, second = record["groups"]
    assert (first["level"], first["sentences"], len(first["cases"])) == ("error", 12, 12)
    assert second["cases"] == ["case_00003"]
    assert "may hold 0, 1, 2, found" in second["first"]


def test_the_range_of_the_figures_has_a_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for number, shift in ((1, 5), (2, 40)):
        liver(tmp_path, number)
        place(tmp_path / f"segmentation-{number}.nii", "LPS", (shift, 0, 0))
    assert main(["data", "check", "--data-root", str(tmp_path), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "0 errors, 2 warnings" in printed
    assert "2: volume-1, volume-2" in printed
    assert "5 to 40" in printed


def test_what_is_taken_for_granted_is_told_once_and_is_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for number in (1, 2):
        liver(tmp_path, number)
    padded = scan()
    padded[:, 0] = -3024
    save(volume_of(tmp_path), padded)
    assert label_of(tmp_path).is_file()
    words = ["data", "check", "--data-root", str(tmp_path), "--jobs", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("states no unit of length, mm is taken") == 1
    assert "the same in 1 other case: volume-2" in printed
    assert "is padded with -3024, which is clipped" in printed
    assert "nothing is wrong" in printed
    assert main([*words, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["problems"], record["groups"], len(record["notes"])) == ([], [], 3)


def test_a_case_without_one_modality_has_its_other_files_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    glioma(tmp_path, values=(1, 2, 3))
    (tmp_path / "BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz").unlink()
    assert main(["data", "check", "--data-root", str(tmp_path), "--jobs", "1", "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)
    missing, value = (each["message"] for each in record["problems"])
    assert "has no t1 volume" in missing
    assert "found 3 at 1 voxel" in value
