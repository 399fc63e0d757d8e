from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets.base import Case, DataError
from datasets.kits import Kits
from datasets.volumes.reading import read_image, read_label

SHAPE = (6, 8, 10)
SPACING_MM = (3.0, 2.0, 1.0)
Save = Callable[..., Path]


def make_case(image: Path, label: Path | None = None) -> Case:
    return Case(id="c1", patient="c1", images={"ct": image}, label=label)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "IPL", "PIR", "SAL"])
def test_every_orientation_reads_the_same(
    codes: str, tmp_path: Path, save: Save, rng: np.random.Generator
) -> None:
    image = rng.integers(-1000, 1000, SHAPE).astype(np.int16)
    label = rng.integers(0, 3, SHAPE).astype(np.uint8)
    case = make_case(
        save(tmp_path / "i.nii.gz", image, codes), save(tmp_path / "l.nii.gz", label, codes)
    )
    assert nib.aff2axcodes(nib.load(tmp_path / "i.nii.gz").affine) == tuple(codes)
    read, geometry = read_image(case)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], image)
    np.testing.assert_array_equal(read_label(case, Kits.describe("kits19"), geometry), label)
    assert geometry.spacing_mm == SPACING_MM
    stored = np.asanyarray(nib.load(tmp_path / "l.nii.gz").dataobj)
    np.testing.assert_array_equal(geometry.to_stored(label), stored)


def test_kits_file_with_explicit_affine_reads_equal(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Written by hand: (z, y, x) stored from head to feet, front to back, right to left."""
    canonical = rng.integers(-1000, 1000, SHAPE).astype(np.int16)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -3.0, -2.0, -1.0, 1.0
    path = tmp_path / "imaging.nii.gz"
    nib.save(nib.Nifti1Image(np.ascontiguousarray(canonical[::-1, ::-1, ::-1]), affine), path)
    read, geometry = read_image(make_case(path))
    np.testing.assert_array_equal(read[0], canonical)
    assert geometry.spacing_mm == SPACING_MM


def test_label_lies_on_the_images_grid_whatever_its_header_says(
    tmp_path: Path, save: Save, rng: np.random.Generator
) -> None:
    label = rng.integers(0, 3, SHAPE).astype(np.uint8)
    image_path = save(tmp_path / "i.nii", label.astype(np.int16), "LPS")
    stored = np.asanyarray(nib.load(image_path).dataobj).astype(np.uint8)
    nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "l.nii")
    case = make_case(image_path, tmp_path / "l.nii")
    np.testing.assert_array_equal(
        read_label(case, Kits.describe("kits19"), read_image(case)[1]), label
    )


def test_scaled_and_trailing_axis_volumes_are_understood(tmp_path: Path) -> None:
    values = np.linspace(-100, 300, 4 * 5 * 6).reshape(4, 5, 6, 1)
    image = nib.Nifti1Image(values, np.eye(4))
    image.set_data_dtype(np.int16)  # nibabel stores slope and intercept
    nib.save(image, tmp_path / "i.nii.gz")
    read, _ = read_image(make_case(tmp_path / "i.nii.gz"))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[0], values[..., 0].transpose(2, 1, 0), atol=0.01)


def test_float_labels_are_rounded_and_others_refused(tmp_path: Path, save: Save) -> None:
    label = np.zeros(SHAPE, dtype=np.float32)
    label[1], label[2] = 1.0004, 1.9996
    image_path = save(tmp_path / "i.nii", np.zeros(SHAPE, dtype=np.int16))
    case = make_case(image_path, save(tmp_path / "l.nii", label))
    _, geometry = read_image(case)
    assert np.unique(read_label(case, Kits.describe("kits19"), geometry)).tolist() == [0, 1, 2]
    label[3], label[4, 0, 0], label[4, 0, 1] = 1.4, 7, np.nan
    case = make_case(image_path, save(tmp_path / "bad.nii", label))
    with pytest.raises(
        DataError,
        match=rf"{tmp_path}/bad.nii: label of case c1 .*, found 1.4 to 7 and NaN at 82 voxels",
    ):
        read_label(case, Kits.describe("kits19"), geometry)


def test_shapes_must_agree(tmp_path: Path, save: Save) -> None:
    image = save(tmp_path / "i.nii", np.zeros(SHAPE, dtype=np.int16), "RAS")
    label = save(tmp_path / "l.nii", np.zeros((6, 8, 9), dtype=np.uint8), "RAS")
    case = make_case(image, label)
    with pytest.raises(
        DataError, match=r"l.nii: label of case c1 has shape \(9, 8, 6\), its image \(10, 8, 6\)"
    ):
        read_label(case, Kits.describe("kits19"), read_image(case)[1])


@pytest.mark.parametrize(
    ("codes", "spacing_mm", "depth", "found"),
    [
        ("LPS", SPACING_MM, 5, r"shape \(10, 8, 5\) beside \(10, 8, 6\)"),
        ("LPS", (3.0, 2.0, 1.1), 6, r"spacing \(3.0, 2.0, 1.1\) mm beside \(3.0, 2.0, 1.0\) mm"),
        ("LAS", SPACING_MM, 6, "orientation LAS beside LPS"),
    ],
)
def test_channels_lie_on_one_grid(
    codes: str, spacing_mm: tuple[float, ...], depth: int, found: str, tmp_path: Path, save: Save
) -> None:
    first = save(tmp_path / "a.nii", np.zeros(SHAPE, dtype=np.int16))
    second = save(tmp_path / "b.nii", np.zeros((depth, 8, 10), dtype=np.int16), codes, spacing_mm)
    case = Case(id="c1", patient="c1", images={"a": first, "b": second}, label=None)
    with pytest.raises(
        DataError, match=f"b.nii: case c1 needs all volumes on one grid, got {found}"
    ):
        read_image(case)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_intensities_are_finite(value: float, tmp_path: Path, save: Save) -> None:
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[1, 2, 3] = value
    path = save(tmp_path / "i.nii", volume)
    with pytest.raises(
        DataError,
        match=r"i\.nii: intensities must be finite, found NaN or infinity at "
        "1 of 480 voxels of case c1",
    ):
        read_image(make_case(path))


@pytest.mark.parametrize("extension", ["nii", "nii.gz"])
@pytest.mark.parametrize("keep_frac", [0.6, 0.05, 0.0])
def test_damaged_files_are_named(
    extension: str, keep_frac: float, tmp_path: Path, save: Save, rng: np.random.Generator
) -> None:
    path = save(tmp_path / f"i.{extension}", rng.integers(0, 1000, (20, 20, 20)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep_frac)])
    with pytest.raises(
        DataError,
        match=rf"{re.escape(str(path))}: file of case c1 (is cut short|is empty|cannot be read)",
    ):
        read_image(make_case(path))


def test_dangling_link_and_plain_file_named_gz_are_named(tmp_path: Path, save: Save) -> None:
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    plain = save(tmp_path / "p.nii", np.zeros(SHAPE, dtype=np.int16)).rename(tmp_path / "p.nii.gz")
    for path in (tmp_path / "gone.nii.gz", plain):
        with pytest.raises(
            DataError, match=rf"{path}: file of case c1 is (a link to|named .gz but)"
        ):
            read_image(make_case(path))


@pytest.mark.parametrize(("shape", "axes"), [((4, 5), "4, 5"), ((4, 5, 6, 2), "4, 5, 6, 2")])
def test_a_volume_has_three_axes(shape: tuple[int, ...], axes: str, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.int16), np.eye(4)), tmp_path / "i.nii")
    with pytest.raises(
        DataError, match=rf"i.nii: file of case c1 must have 3 axes, got shape \({axes}\)"
    ):
        read_image(make_case(tmp_path / "i.nii"))


def test_unusable_affines_are_named(tmp_path: Path) -> None:
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    parallel = np.array([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    for number, affine in enumerate((flat, parallel)):
        image = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.int16), np.eye(4))
        image.header.set_sform(affine, code=1)
        image.header["vox_offset"] = 352
        path = tmp_path / f"{number}.nii"
        path.write_bytes(
            image.header.binaryblock + bytes(4) + image.get_fdata().astype("<i2").tobytes()
        )
        with pytest.raises(DataError, match=rf"{path}: the affine "):
            read_image(make_case(path))
