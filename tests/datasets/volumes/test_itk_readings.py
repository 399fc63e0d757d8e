"""What the checks say of ITK is what SimpleITK does."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets.volumes.nifti import open_volume
from datasets.volumes.plausibility.headers import check_header
from tests.datasets.roots.build import SPACING_MM, liver, volume_of
from tests.datasets.roots.plausibility import (
    qform_and_sform_apart,
    skewed_axes,
    voxel_size_of_zero_beside_an_affine,
    voxel_sizes_unlike_the_affine,
)

sitk = pytest.importorskip("SimpleITK")


def read(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return spacing (D, H, W) and origin by SimpleITK."""
    image = sitk.ReadImage(str(path))
    return tuple(reversed(image.GetSpacing())), image.GetOrigin()


@pytest.mark.parametrize(("degrees", "is_read"), [(0.004, True), (0.01, False), (2.0, False)])
def test_axes_that_itk_refuses_are_warned_of(degrees: float, is_read: bool, tmp_path: Path) -> None:
    affine = np.diag([-1.5, -2.0, 3.0, 1.0])
    affine[0, 2] = 3 * np.tan(np.radians(degrees))
    path = tmp_path / "x.nii"
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 7), dtype=np.int16), affine), path)
    warned = any("axes that meet at" in each for each in check_header(open_volume(path, "x")))
    assert warned is not is_read
    if is_read:
        read(path)
    else:
        with pytest.raises(RuntimeError, match="only supports orthonormal direction cosines"):
            read(path)


def test_itk_takes_pixdim(tmp_path: Path) -> None:
    voxel_sizes_unlike_the_affine(tmp_path)
    assert read(volume_of(tmp_path))[0] == (5.0, 2.0, 1.5)


def test_itk_takes_1_mm_for_0(tmp_path: Path) -> None:
    voxel_size_of_zero_beside_an_affine(tmp_path)
    assert read(volume_of(tmp_path))[0] == (1.0, 2.0, 1.5)


def test_itk_takes_the_qform_where_the_sform_is_aligned(tmp_path: Path) -> None:
    liver(tmp_path)
    spacing_mm, plain = read(volume_of(tmp_path))
    assert spacing_mm == SPACING_MM
    qform_and_sform_apart(tmp_path)
    moved = read(volume_of(tmp_path))[1]
    assert abs(moved[0] - plain[0]) == pytest.approx(12)


def test_the_scenario_of_skewed_axes_is_refused_by_itk(tmp_path: Path) -> None:
    skewed_axes(tmp_path)
    with pytest.raises(RuntimeError, match="orthonormal"):
        read(volume_of(tmp_path))
