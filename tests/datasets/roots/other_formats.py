"""Roots in which no case is recognised: other formats, archives, other names."""

from __future__ import annotations

from pathlib import Path

from tests.datasets.roots.build import kidney, save, scan, scenario, truth


def put(root: Path, *names: str, content: bytes = b"x") -> None:
    """Write small files below a root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@scenario("kits")
def dicom_series(root: Path) -> None:
    put(root, *(f"case_00000/IM{number}.dcm" for number in range(4)))


@scenario("lits")
def dicom_without_endings(root: Path) -> None:
    put(root, "PATIENT_DICOM/image_0", content=bytes(128) + b"DICM")


@scenario("kits")
def nrrd_of_kits(root: Path) -> None:
    put(root, "case_00000/imaging.nrrd", "case_00000/segmentation.nrrd")


@scenario("brats")
def metaimage_of_brats2015(root: Path) -> None:
    put(root, "HGG/brats_2013_pat0001_1/VSD.Brain.XX.O.MR_Flair.54512.mha")


@scenario("brats")
def analyze_pairs(root: Path) -> None:
    put(root, "a/t1.img", "a/t1.hdr")


@scenario("brats")
def minc_and_freesurfer(root: Path) -> None:
    put(root, "a/t1.mnc", "a/orig.mgz")


@scenario("lits")
def numpy_arrays(root: Path) -> None:
    put(root, "volume-0.npy", "segmentation-0.npy")


@scenario("brats")
def bids(root: Path) -> None:
    put(root, "dataset_description.json")
    save(root / "sub-01/anat/sub-01_T1w.nii.gz", scan())


@scenario("brats")
def archives(root: Path) -> None:
    put(root, "BraTS2021_Training_Data.tar", "BraTS2021_00495.tar.gz", "more.ZIP", "rest.7z")


@scenario("lits")
def half_a_download(root: Path) -> None:
    put(root, "volume-0.nii.crdownload")


@scenario("kits")
def flat_images_of_the_hub_with_other_names(root: Path) -> None:
    save(root / "images/kidney_0001.nii.gz", scan())
    save(root / "labels/kidney_0001.nii.gz", truth(1))


@scenario("lits")
def names_of_no_layout(root: Path) -> None:
    save(root / "x/1.nii.gz", scan())


@scenario("brats")
def preprocessed_arrays_of_nnunet(root: Path) -> None:
    put(root, "nnUNetPlans_3d_fullres/BRATS_001.b2nd", "nnUNetPlans_3d_fullres/BRATS_001.pkl")


@scenario("brats")
def kidneys_instead_of_brains(root: Path) -> None:
    kidney(root)


@scenario("kits")
def empty_folders_alone(root: Path) -> None:
    for number in range(5):
        (root / f"case_{number:05d}").mkdir()
