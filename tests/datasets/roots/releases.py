"""Roots of the newer tasks of BraTS: each with its own label meaning, or refused by its name."""

from __future__ import annotations

from pathlib import Path

from tests.datasets.roots.build import glioma, glioma2023, save, scan, scenario, truth


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")


@scenario("brats")
def both_courses_of_treatment(root: Path) -> None:
    glioma2023(root)
    glioma2023(root, "BraTS-GLI-00001-100", (1, 2, 3, 4))


@scenario("brats")
def brats2017(root: Path) -> None:
    glioma(root / "HGG", "Brats17_CBICA_AAA_1")


@scenario("brats")
def africa(root: Path) -> None:
    glioma2023(root, "BraTS-SSA-00001-000")


@scenario("brats")
def meningiomas(root: Path) -> None:
    glioma2023(root, "BraTS-MEN-00001-000")


@scenario("brats")
def glioma_beside_meningioma(root: Path) -> None:
    glioma2023(root)
    glioma2023(root, "BraTS-MEN-00001-000")


@scenario("brats")
def metastases_of_either_year(root: Path) -> None:
    glioma2023(root, "BraTS-MET-00001-000")


@scenario("brats")
def metastases_with_a_cavity(root: Path) -> None:
    glioma2023(root, "BraTS-MET-00001-000", (1, 2, 3, 4))


@scenario("brats")
def children_of_either_year(root: Path) -> None:
    glioma2023(root, "BraTS-PED-00001-000")


@scenario("brats")
def generalizability(root: Path) -> None:
    glioma2023(root, "BraTS-GoAT-00001")


@scenario("brats")
def before_radiotherapy(root: Path) -> None:
    case = "BraTS-MEN-RT-0005-1"
    save(root / case / f"{case}_t1c.nii.gz", scan())
    save(root / case / f"{case}_gtv.nii.gz", truth(1))


@scenario("brats")
def inpainting(root: Path) -> None:
    case = "BraTS-GLI-00001-000"
    for role in ("t1n", "t1n-voided", "mask", "mask-healthy", "mask-unhealthy"):
        save(root / case / f"{case}-{role}.nii.gz", scan())


@scenario("brats")
def histology(root: Path) -> None:
    _touch(root / "BraTS-Path" / "BraTSPath_00001.jpg")


@scenario("brats")
def registration(root: Path) -> None:
    _touch(root / "BraTSReg_001" / "BraTSReg_001_00_0000_t1.nii.gz")


@scenario("brats")
def unknown_task(root: Path) -> None:
    glioma2023(root, "BraTS-NEW-00001-000")


@scenario("brats")
def endings_in_capitals(root: Path) -> None:
    glioma(root)
    for path in sorted(root.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
