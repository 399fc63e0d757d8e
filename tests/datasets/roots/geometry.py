"""Roots whose files are placed differently in space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.datasets.roots.build import (
    BRAIN_MM,
    brain,
    glioma,
    kidney,
    label_of,
    liver,
    save,
    save_stored,
    scan,
    scenario,
    t1_of,
    truth,
    volume_of,
)


def _reorder(path: Path) -> None:
    """Store a volume from head to feet first, with a matching affine."""
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("IPL")
    )
    turned = image.as_reoriented(turn)
    save_stored(path, np.array(turned.dataobj), turned.affine)


def _change_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> None:
    image = nib.load(path)
    header, stored = image.header.copy(), np.array(image.dataobj)
    header["vox_offset"] = 352  # nibabel's copy says 0
    change(header)
    path.write_bytes(header.binaryblock + bytes(4) + stored.tobytes(order="F"))


def _forget_orientation(header: nib.Nifti1Header) -> None:
    header["sform_code"] = header["qform_code"] = 0


def _set_affine(path: Path, affine: np.ndarray) -> None:
    def change(header: nib.Nifti1Header) -> None:
        for row, name in zip(affine, ("srow_x", "srow_y", "srow_z"), strict=False):
            header[name] = row
        header["sform_code"], header["qform_code"] = 1, 0

    _change_header(path, change)


@scenario("lits")
def affine_of_zeros(root: Path) -> None:
    liver(root)
    _set_affine(volume_of(root), np.zeros((4, 4)))


@scenario("lits")
def affine_with_nan(root: Path) -> None:
    liver(root)
    _set_affine(volume_of(root), np.full((4, 4), np.nan))


@scenario("lits")
def affine_with_parallel_axes(root: Path) -> None:
    liver(root)
    _set_affine(
        volume_of(root), np.array([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    )


@scenario("lits")
def voxels_within_the_header(root: Path) -> None:
    liver(root)
    _change_header(volume_of(root), lambda header: header.__setitem__("vox_offset", 0))


@scenario("lits")
def no_orientation(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        _change_header(path, _forget_orientation)


@scenario("lits")
def label_of_another_shape(root: Path) -> None:
    liver(root)
    save(label_of(root), np.pad(truth(1, 2), ((0, 1), (0, 0), (0, 0))))


@scenario("lits")
def label_of_another_spacing(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 2), "LPS", (3.5, 2.0, 1.5))


@scenario("lits")
def label_with_the_identity_as_header(root: Path) -> None:
    liver(root)
    save_stored(label_of(root), np.array(nib.load(label_of(root)).dataobj), np.eye(4))


@scenario("lits")
def label_in_another_order(root: Path) -> None:
    liver(root)
    _reorder(label_of(root))


@scenario("brats")
def modality_of_another_shape(root: Path) -> None:
    glioma(root)
    save(t1_of(root), brain("t1")[:3], spacing_mm=BRAIN_MM)


@scenario("brats")
def modality_of_another_spacing(root: Path) -> None:
    glioma(root)
    save(t1_of(root), brain("t1"), "LPS", (1.0, 1.0, 1.6))


@scenario("brats")
def modality_of_another_orientation(root: Path) -> None:
    glioma(root)
    save(t1_of(root), brain("t1"), "RAS", BRAIN_MM)


@scenario("brats")
def modality_in_another_order(root: Path) -> None:
    glioma(root)
    _reorder(t1_of(root))


@scenario("brats")
def modality_of_another_origin(root: Path) -> None:
    glioma(root)
    affine = nib.load(t1_of(root)).affine.copy()
    affine[:3, 3] += 5
    save_stored(t1_of(root), np.array(nib.load(t1_of(root)).dataobj), affine)


@scenario("lits")
def spacing_that_nobody_knows(root: Path) -> None:
    liver(root, 28, (1.0, 1.0, 1.0))


@scenario("lits")
def spacing_mended_by_the_user(root: Path) -> None:
    liver(root, 28)


@scenario("kits")
def converted_kits(root: Path) -> None:
    kidney(root, codes="RAS")


@scenario("kits")
def appended_phase(root: Path) -> None:
    kidney(root)
    save(root / "kits19/case_00001/imaging.nii.gz", np.concatenate([scan(), scan()]), "IPL")
