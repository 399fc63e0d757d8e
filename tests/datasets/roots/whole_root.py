"""Roots with one fault (or oddity) of the root as a whole."""

from __future__ import annotations

from pathlib import Path

from tests.datasets.roots.build import TRAINING, glioma, kidney, liver, scenario, volume_of


@scenario("brats")
def no_folder(root: Path) -> None:
    root.rmdir()


@scenario("brats")
def a_file_instead_of_a_folder(root: Path) -> None:
    root.rmdir()
    root.touch()


@scenario("brats")
def empty_root(root: Path) -> None:
    pass


@scenario("kits")
def nothing_but_clutter(root: Path) -> None:
    for name in (
        ".DS_Store",
        "kits.json",
        "notes.csv",
        "case_00001/._imaging.nii.gz",
        "__MACOSX/case_00001/imaging.nii.gz",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@scenario("lits")
def labels_alone(root: Path) -> None:
    liver(root)
    volume_of(root).unlink()


@scenario("kits")
def clone_without_images(root: Path) -> None:
    kidney(root)
    (root / "kits19/case_00001/imaging.nii.gz").unlink()


@scenario("brats")
def two_releases(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS2021_00000")


@scenario("kits")
def majority_votes_beside_kits19(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00002")
    folder = root / "kits19/case_00002"
    (folder / "segmentation.nii.gz").rename(folder / "aggregated_MAJ_seg.nii.gz")


@scenario("kits")
def release_that_names_do_not_tell(root: Path) -> None:
    kidney(root)
    (root / "kits19").rename(root / "data")


@scenario("brats")
def clutter_beside_cases(root: Path) -> None:
    glioma(root)
    for name in (
        ".DS_Store",
        "name_mapping.csv",
        f"{TRAINING}/._{TRAINING}_t1.nii.gz",
        "__MACOSX/BraTS2021_00000_t1.nii",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@scenario("brats")
def deep_and_linked(root: Path) -> None:
    glioma(root / ".store" / "a", extension="nii")
    (root / "x" / "y").mkdir(parents=True)
    (root / "x" / "y" / "link").symlink_to(root / ".store" / "a")
    (root / "x" / "y" / "loop").symlink_to(root)
