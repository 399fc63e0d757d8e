"""Roots with a file that is missing, doubled, or in the wrong place."""

from __future__ import annotations

from pathlib import Path

from tests.datasets.roots.build import (
    BRAIN_MM,
    TRAINING,
    brain,
    glioma,
    kidney,
    liver,
    save,
    scenario,
    t1_of,
    truth,
)


@scenario("brats")
def modality_missing(root: Path) -> None:
    glioma(root)
    t1_of(root).unlink()


@scenario("brats")
def label_missing_in_training(root: Path) -> None:
    glioma(root, values=())


@scenario("brats")
def validation_case(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS20_Validation_001", values=())


@scenario("kits")
def kits19_case_without_public_label(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00210")
    (root / "kits19/case_00210/segmentation.nii.gz").unlink()


@scenario("kits")
def kits19_case_whose_label_is_public(root: Path) -> None:
    kidney(root)
    kidney(root, "case_00209")
    (root / "kits19/case_00209/segmentation.nii.gz").unlink()


@scenario("lits")
def more_labels_than_volumes(root: Path) -> None:
    liver(root)
    save(root / "segmentation-99.nii", truth(1))


@scenario("brats")
def packed_and_unpacked(root: Path) -> None:
    glioma(root)
    save(t1_of(root).with_suffix(""), brain("t1"), spacing_mm=BRAIN_MM)


@scenario("brats")
def two_copies_of_a_volume(root: Path) -> None:
    glioma(root)
    save(root / "copy" / t1_of(root).name, brain("t1"), spacing_mm=BRAIN_MM)


@scenario("brats")
def old_and_new_name_of_a_modality(root: Path) -> None:
    glioma(root)
    save(t1_of(root).with_name(f"{TRAINING}_t1c.nii.gz"), brain("t1"), spacing_mm=BRAIN_MM)


@scenario("brats")
def old_names_of_modalities(root: Path) -> None:
    glioma(root)
    for old, new in (("fla", "flair"), ("t1c", "t1ce")):
        t1_of(root).with_name(f"{TRAINING}_{new}.nii.gz").rename(
            t1_of(root).with_name(f"{TRAINING}_{old}.nii.gz")
        )


@scenario("brats")
def file_of_another_case(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS20_Training_002")
    name = "BraTS20_Training_002_t1.nii.gz"
    (root / "BraTS20_Training_002" / name).rename(root / TRAINING / name)


@scenario("brats")
def misnamed_label_355(root: Path) -> None:
    glioma(root, "BraTS20_Training_355", extension="nii")
    folder = root / "BraTS20_Training_355"
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")


@scenario("kits")
def unpadded_id(root: Path) -> None:
    kidney(root, "case_12")


@scenario("kits")
def padded_and_unpadded_id(root: Path) -> None:
    kidney(root, "case_12")
    kidney(root, "case_00012")
