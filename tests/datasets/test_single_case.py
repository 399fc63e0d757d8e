"""What `predict --input` accepts is decided without a walk over the data's root."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets
from datasets.base import DataError
from datasets.many_cases import find_many_cases
from datasets.single_case import find_single_case
from tests.datasets.roots.build import glioma, glioma2023, kidney

NOWHERE = Path("/nowhere/that/could/be/walked")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.nrrd", "which is NRRD \\(convert to NIfTI, with SimpleITK"),
        ("x.seg.NRRD", "which is NRRD"),
        ("x.mha", "which is MetaImage"),
        ("x.dcm", "which is DICOM \\(convert with dcm2niix\\)"),
        ("x.zip", "which is archive \\(unpack\\)"),
        ("x.txt", "got the file"),
    ],
)
def test_another_format_is_named(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    info = datasets.get("kits").describe("kits19")
    for inputs in ([str(tmp_path / name)], [f"ct={tmp_path / name}"]):
        with pytest.raises(DataError, match=f"^input: must be NIfTI .*{words}"):
            find_single_case(info, NOWHERE, inputs)


def test_a_path_may_have_an_equals_sign(tmp_path: Path) -> None:
    info = datasets.get("kits").describe("kits19")
    file = tmp_path / "rank=4" / "x.nii.gz"
    file.parent.mkdir()
    file.write_bytes(b"x")
    for text in (str(file), f"ct={file}"):
        assert find_single_case(info, NOWHERE, [text]).images == {"ct": file}


def test_a_channel_with_two_files_is_refused(tmp_path: Path) -> None:
    info = datasets.get("kits").describe("kits19")
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"x")
    twice = [f"ct={tmp_path / name}" for name in ("a.nii", "b.nii")]
    with pytest.raises(DataError, match=r"^input: must give a file for each of ct, got ct, ct$"):
        find_single_case(info, NOWHERE, twice)


def test_a_path_that_does_not_exist_is_no_id(tmp_path: Path) -> None:
    info = datasets.get("kits").describe("kits19")
    for name in ("x.nii.gz", "folder/of/a/case"):
        with pytest.raises(DataError, match=r"^input: there is no file or folder "):
            find_single_case(info, NOWHERE, [str(tmp_path / name)])


def test_a_folder_of_dicom_says_so(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "1.dcm").write_bytes(b"x")
    kidney(tmp_path)
    info = datasets.get("kits").describe("kits19")
    with pytest.raises(DataError, match=r"holds 1 DICOM file .*convert with dcm2niix"):
        find_single_case(info, tmp_path, [str(tmp_path / "case")])


def test_files_that_tell_nothing_are_of_the_runs_release(tmp_path: Path) -> None:
    glioma2023(tmp_path, "BraTS-PED-00001-000")
    info = datasets.get("ped2024").describe("ped2024")
    case = find_single_case(info, NOWHERE, [str(tmp_path / "BraTS-PED-00001-000")])
    assert case.id == "BraTS-PED-00001-000"
    named = find_single_case(info, tmp_path, ["BraTS-PED-00001-000"], release="ped2023")
    assert named.images == case.images


def test_a_case_without_its_label_is_predicted(tmp_path: Path) -> None:
    """No label is read, so that a copy of a training case may lack it."""
    for number in (1, 2, 3):
        glioma(tmp_path, f"BraTS20_Training_00{number}", values=())
    (tmp_path / "BraTS20_Training_001" / "BraTS20_Training_001_t1.nii.gz").unlink()
    info = datasets.get("brats").describe("brats2020")
    second = "BraTS20_Training_002"
    for text in (second, str(tmp_path / second)):
        assert find_single_case(info, tmp_path, [text]).id == second
    cases, problems = find_many_cases(info, NOWHERE, [str(tmp_path)])
    assert [case.id for case in cases] == [second, "BraTS20_Training_003"]
    assert [each.case for each in problems] == ["BraTS20_Training_001"]
    assert "has no t1 volume" in problems[0].message
    assert "; brats2020: case BraTS20_Training_001 has no label" in problems[0].message


def test_a_run_of_another_year_predicts_a_case(tmp_path: Path) -> None:
    glioma2023(tmp_path)
    info = datasets.get("brats2020").describe("brats2020")
    assert find_single_case(info, tmp_path, ["BraTS-GLI-00001-000"]).id == "BraTS-GLI-00001-000"
    with pytest.raises(DataError, match=r"brats2021: .* must hold BraTS 2021, got BraTS 2023 GLI"):
        find_single_case(info, tmp_path, ["BraTS-GLI-00001-000"], release="brats2021")


def test_a_folder_of_cases_is_of_the_release_that_is_named(tmp_path: Path) -> None:
    for number in (1, 2):
        glioma2023(tmp_path, f"BraTS-PED-0000{number}-000")
    info = datasets.get("brats2020").describe("brats2020")
    with pytest.raises(DataError, match=r"give --release ped2023 or --release ped2024"):
        find_many_cases(info, NOWHERE, [str(tmp_path)])
    cases, problems = find_many_cases(info, NOWHERE, [str(tmp_path)], "ped2024")
    assert [case.id for case in cases] == ["BraTS-PED-00001-000", "BraTS-PED-00002-000"]
    assert problems == []
