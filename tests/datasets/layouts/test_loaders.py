from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datasets.base import DataError
from datasets.brats import BRATS2020, Brats
from datasets.kits import Kits
from datasets.lits import LITS, MSD03, Lits


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def brats_files(case: str, extension: str = "nii.gz", *, label: bool = True) -> list[str]:
    roles = ["flair", "t1", "t1ce", "t2", *(["seg"] if label else [])]
    return [f"{case}/{case}_{role}.{extension}" for role in roles]


def test_brats_lists_cases_at_any_depth_without_clutter(tmp_path: Path) -> None:
    touch(tmp_path / "deep" / "deeper", *brats_files("BraTS20_Training_010", "nii"))
    touch(
        tmp_path,
        *brats_files("BraTS20_Training_002"),
        *brats_files("BraTS20_Validation_001", label=False),
    )
    touch(
        tmp_path, "name_mapping.csv", "__MACOSX/BraTS20_Training_003/BraTS20_Training_003_t1.nii.gz"
    )
    touch(tmp_path, "BraTS20_Training_002/._BraTS20_Training_002_t1.nii.gz")
    cases = Brats(tmp_path).find_cases()
    assert [case.id for case in cases] == [
        "BraTS20_Training_002",
        "BraTS20_Training_010",
        "BraTS20_Validation_001",
    ]
    assert [case.label is None for case in cases] == [False, False, True]
    assert tuple(cases[0].images) == ("flair", "t1ce", "t1", "t2")
    assert cases[1].images["t1ce"].name == "BraTS20_Training_010_t1ce.nii"


def test_brats_follows_links_once(tmp_path: Path) -> None:
    store = touch(tmp_path / "store", *brats_files("BraTS20_Training_001"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(store)
    (store / "loop").symlink_to(root)
    assert [case.id for case in Brats(root).find_cases()] == ["BraTS20_Training_001"]


def test_brats_prefers_gz_and_refuses_two_copies(tmp_path: Path) -> None:
    touch(
        tmp_path, *brats_files("BraTS20_Training_001", "nii"), *brats_files("BraTS20_Training_001")
    )
    (case,) = Brats(tmp_path).find_cases()
    assert {path.suffix for path in case.images.values()} == {".gz"}
    touch(tmp_path / "copy", *brats_files("BraTS20_Training_001"))
    with pytest.raises(
        DataError, match=r"brats2020: case BraTS20_Training_001 has two files for \w+: .*copy"
    ):
        Brats(tmp_path).find_cases()


def test_brats_names_the_missing_modality(tmp_path: Path) -> None:
    touch(tmp_path, *brats_files("BraTS20_Training_007"))
    folder = tmp_path / "BraTS20_Training_007"
    (folder / "BraTS20_Training_007_t1ce.nii.gz").unlink()
    sentence = "brats2020: case BraTS20_Training_007 has no t1ce volume "
    sentence += f"in {folder} (looked for {BRATS2020.layout})"
    with pytest.raises(DataError) as caught:
        Brats(tmp_path).find_cases()
    assert str(caught.value) == sentence


def test_kits_lists_unlabelled_cases_and_names_missing_images(tmp_path: Path) -> None:
    touch(tmp_path, "data/case_00001/imaging.nii.gz", "data/case_00001/segmentation.nii.gz")
    touch(tmp_path, "data/case_00210/imaging.nii.gz", "data/kits.json")
    cases = Kits(tmp_path).find_cases()
    assert [(case.id, case.label is None) for case in cases] == [
        ("case_00001", False),
        ("case_00210", True),
    ]
    shutil.rmtree(tmp_path / "data" / "case_00001")
    touch(tmp_path, "data/case_00002/segmentation.nii.gz")
    with pytest.raises(
        DataError,
        match=r"kits19: case case_00002 has no ct volume in .*case_00002 "
        r"\(looked for .*imaging.*download",
    ):
        Kits(tmp_path).find_cases()


def test_lits_pairs_on_the_number_across_folders(tmp_path: Path) -> None:
    touch(tmp_path, "pt1/volume-2.nii", "pt2/volume-10.nii.gz", "test/test-volume-2.nii")
    touch(
        tmp_path,
        "segmentations/segmentation-10.nii",
        "segmentations/segmentation-2.nii",
        "segmentations/segmentation-99.nii",
    )
    cases = Lits(tmp_path).find_cases()
    assert [case.id for case in cases] == [
        "test-volume-2",
        "volume-10",
        "volume-2",
    ]  # as strings: folds depend on it
    labels = {case.id: case.label for case in cases}
    assert labels == {
        "test-volume-2": None,
        "volume-10": tmp_path / "segmentations" / "segmentation-10.nii",
        "volume-2": tmp_path / "segmentations" / "segmentation-2.nii",
    }


def test_lits_says_when_only_labels_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "segmentations/segmentation-2.nii")
    with pytest.raises(DataError, match="lits17: labels but no volume below"):
        Lits(tmp_path).find_cases()


def test_the_preset_leaves_out_all_cases_that_a_report_counts_to_3dircadb() -> None:
    numbers = [*range(28, 45), *range(46, 49), *range(28, 48)]  # of two reports
    for release, name in ((LITS, "volume-{}"), (MSD03, "liver_{}")):
        assert release.exclude["3dircadb"] == {name.format(number) for number in numbers}
