"""Roots whose voxels have odd or wrong values, or another number of axes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from tests.datasets.roots.build import (
    BRAIN_MM,
    SHAPE,
    glioma,
    glioma2023,
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


@scenario("lits")
def label_with_rounding_noise(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(0.9995, 2.0004))


@scenario("lits")
def interpolated_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 1.5, 0.25))


@scenario("brats")
def three_in_brats2020(root: Path) -> None:
    glioma(root, values=(1, 2, 3, 4))


@scenario("brats")
def four_in_brats2023(root: Path) -> None:
    glioma2023(root, values=(1, 2, 4))


@scenario("brats")
def three_in_brats2023(root: Path) -> None:
    glioma2023(root)


@scenario("lits")
def negative_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, -1))


@scenario("lits")
def label_with_nan(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, np.nan))


@scenario("lits")
def uint16_label(root: Path) -> None:
    liver(root)
    save(label_of(root), truth(1, 2).astype(np.uint16))


@scenario("lits")
def label_all_background(root: Path) -> None:
    liver(root)
    save(label_of(root), truth())


@scenario("lits")
def nan_in_a_volume(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, :3] = np.nan
    save(volume_of(root), values)


@scenario("lits")
def infinity_in_a_volume(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, 0] = -np.inf
    save(volume_of(root), values)


@scenario("lits")
def complex_numbers(root: Path) -> None:
    liver(root)
    save(volume_of(root), scan().astype(np.complex64))


@scenario("lits")
def colours(root: Path) -> None:
    liver(root)
    save_stored(
        volume_of(root),
        np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]),
        np.eye(4),
    )


@scenario("lits")
def two_time_points(root: Path) -> None:
    liver(root)
    save(volume_of(root), np.stack([scan().T] * 2, axis=-1))


@scenario("lits")
def trailing_axis_of_one(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        image = nib.load(path)
        save_stored(path, np.array(image.dataobj)[..., None], image.affine)


@scenario("lits")
def two_axes(root: Path) -> None:
    liver(root)
    save_stored(volume_of(root), np.zeros((6, 5), dtype=np.int16), np.eye(4))


@scenario("lits")
def big_endian(root: Path) -> None:
    liver(root)
    image = nib.load(volume_of(root))
    header = image.header.as_byteswapped(">")
    nib.save(nib.Nifti1Image(np.array(image.dataobj), image.affine, header), volume_of(root))
    assert nib.load(volume_of(root)).header.endianness == ">"


@scenario("lits")
def slope_of_zero(root: Path) -> None:
    liver(root)
    content = bytearray(volume_of(root).read_bytes())
    content[112:116] = np.float32(0).tobytes()  # scl_slope
    volume_of(root).write_bytes(content)


@scenario("lits")
def double_precision(root: Path) -> None:
    liver(root)
    save(volume_of(root), scan().astype(np.float64))


@scenario("lits")
def absurd_hounsfield_units(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    values[0, 0, :2] = (-1e6, 60000)
    save(volume_of(root), values)


@scenario("brats")
def constant_modality(root: Path) -> None:
    glioma(root)
    save(t1_of(root), np.full(SHAPE, 7, dtype=np.int16), spacing_mm=BRAIN_MM)


@scenario("brats")
def one_file_with_three_channels(root: Path) -> None:
    save_stored(
        root / "imagesTr/BRATS_001.nii.gz", np.zeros((6, 5, 4, 3), dtype=np.int16), np.eye(4)
    )
    save_stored(root / "labelsTr/BRATS_001.nii.gz", truth(1, 2, 3).T, np.eye(4))
