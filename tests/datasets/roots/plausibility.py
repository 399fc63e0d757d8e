"""Roots that can be read, and whose headers or values are not what the release promises."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from tests.datasets.roots.build import (
    BRAIN_MM,
    TRAINING,
    brain,
    glioma,
    glioma2023,
    label_of,
    liver,
    save,
    save_stored,
    scan,
    scenario,
    seg_of,
    t1_of,
    truth,
    volume_of,
)
from tests.datasets.roots.headers import edit_bytes


def _set_floats(path: Path, at: int, *values: float) -> None:
    """Write fields of the header; ``at`` is the byte of the first."""
    content = np.array(values, dtype=np.float32).tobytes()
    edit_bytes(path, lambda head: head.__setitem__(slice(at, at + len(content)), content))


def _place(root: Path, affine: np.ndarray) -> None:
    """Give image and label one affine."""
    for path in (volume_of(root), label_of(root)):
        save_stored(path, np.array(nib.load(path).dataobj), affine)


@scenario("lits")
def qform_and_sform_apart(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        image = nib.load(path)
        shifted = image.affine.copy()
        shifted[0, 3] += 12
        image.set_qform(shifted, code=1)
        image.set_sform(image.affine, code=2)
        save_stored_image(path, image)


def save_stored_image(path: Path, image: nib.Nifti1Image) -> None:
    """Store an image anew, without a link to the file that it was read from."""
    content = nib.Nifti1Image(np.array(image.dataobj), None, image.header).to_bytes()
    path.write_bytes(content)


@scenario("lits")
def skewed_axes(root: Path) -> None:
    liver(root)
    affine = nib.load(volume_of(root)).affine.copy()
    affine[0, 2] = 0.1  # as a tilted gantry leaves them
    _place(root, affine)


@scenario("lits")
def voxel_sizes_unlike_the_affine(root: Path) -> None:
    liver(root)
    _set_floats(volume_of(root), 80, 1.5, 2.0, 5.0)


@scenario("lits")
def voxel_size_of_zero_beside_an_affine(root: Path) -> None:
    liver(root)
    _set_floats(volume_of(root), 80, 1.5, 2.0, 0.0)


@scenario("lits")
def negative_voxel_size(root: Path) -> None:
    liver(root)
    _set_floats(volume_of(root), 80, 1.5, -2.0, 3.0)


@scenario("lits")
def intercept_without_a_slope(root: Path) -> None:
    liver(root)
    _set_floats(volume_of(root), 112, 0.0, -1024.0)


@scenario("lits")
def no_sign_of_the_third_axis(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        image = nib.load(path)
        image.set_qform(image.affine, code=1)
        image.set_sform(None, code=0)
        save_stored_image(path, image)
        if path == volume_of(root):
            _set_floats(path, 76, 0.0)


@scenario("lits")
def millimetres_that_were_metres(root: Path) -> None:
    liver(root, spacing_mm=(0.003, 0.002, 0.0015))


@scenario("brats")
def brain_at_its_native_spacing(root: Path) -> None:
    glioma(root)
    for path in sorted(root.rglob("*.nii.gz")):
        image = nib.load(path)
        save_stored(path, np.array(image.dataobj), image.affine @ np.diag([1, 1, 5, 1]))


@scenario("met2025")
def metastases_in_their_native_space(root: Path) -> None:
    glioma2023(root, "BraTS-MET-00001-000")
    for path in sorted(root.rglob("*.nii.gz")):
        image = nib.load(path)
        save_stored(path, np.array(image.dataobj), image.affine @ np.diag([1, 1, 5, 1]))


@scenario("brats")
def brain_with_its_skull(root: Path) -> None:
    glioma(root)
    values = brain("t1") + 1
    save(t1_of(root), values.astype(np.int16), spacing_mm=BRAIN_MM)


@scenario("brats")
def one_modality_copied_over_another(root: Path) -> None:
    glioma(root)
    t1_of(root).write_bytes(t1_of(root).with_name(f"{TRAINING}_t2.nii.gz").read_bytes())


@scenario("brats")
def label_of_a_flipped_brain(root: Path) -> None:
    glioma(root)
    save(seg_of(root), np.flip(truth(1, 2, 4), axis=1), spacing_mm=BRAIN_MM)


@scenario("lits")
def intercept_lost(root: Path) -> None:
    liver(root)
    save(volume_of(root), (scan() + 1024).astype(np.uint16))


@scenario("lits")
def values_scaled_to_one(root: Path) -> None:
    liver(root)
    values = scan().astype(np.float32)
    save(volume_of(root), (values - values.min()) / np.ptp(values))


@scenario("lits")
def padding_outside_the_field_of_view(root: Path) -> None:
    liver(root)
    values = scan()
    values[:, 0] = -3024
    save(volume_of(root), values)


@scenario("lits")
def unsigned_values_that_wrapped(root: Path) -> None:
    liver(root)
    save(volume_of(root), scan().astype(np.uint16))


@scenario("lits")
def slices_exported_twice(root: Path) -> None:
    liver(root)
    values = scan()
    values[2] = values[1]
    save(volume_of(root), values)


@scenario("lits")
def label_on_air(root: Path) -> None:
    liver(root)
    label = np.zeros_like(truth(1, 2))
    label[0, 0, :4] = 1
    save(label_of(root), label)


@scenario("brats")
def empty_folder_of_a_case(root: Path) -> None:
    glioma(root)
    (root / "BraTS20_Training_002").mkdir()


@scenario("brats")
def case_in_the_folder_of_another(root: Path) -> None:
    glioma(root)
    glioma(root, "BraTS20_Training_002")
    for path in sorted((root / "BraTS20_Training_002").iterdir()):
        path.rename(root / TRAINING / path.name)


@scenario("lits")
def labels_off_by_two_thousandths(root: Path) -> None:
    liver(root)
    label = truth(1, 2).astype(np.float32)
    label[2] = np.linspace(0.998, 1.9985, label[2].size).reshape(label[2].shape)
    save(label_of(root), label)
