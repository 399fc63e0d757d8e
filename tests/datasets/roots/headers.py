"""Roots whose headers state units, voxel sizes or places in another way, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.datasets.roots.build import label_of, liver, save_stored, scenario, volume_of

CODES_AT, SIZES_AT, UNITS_AT = 252, 80, 123  # bytes: qform and sform code, pixdim[1:4], xyzt_units


def edit_bytes(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change the header of a file that is not packed; nibabel would correct it."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def place(path: Path, codes: str, shift_mm: tuple[float, float, float] = (0, 0, 0)) -> None:
    """Store a volume in the order of the codes, and move its origin."""
    image = nib.load(path)
    wanted = nib.orientations.axcodes2ornt(tuple(codes))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted)
    turned = image.as_reoriented(turn)
    affine = turned.affine.copy()
    affine[:3, 3] += shift_mm
    save_stored(path, np.array(turned.dataobj), affine)


def _set_affine(path: Path, affine: np.ndarray) -> None:
    save_stored(path, np.array(nib.load(path).dataobj), affine)


def measure_in(path: Path, unit: int, per_mm: float) -> None:
    """Write the same places in another unit; ``unit`` is NIfTI's code."""
    affine = nib.load(path).affine * per_mm
    affine[3, 3] = 1
    _set_affine(path, affine)
    edit_bytes(path, lambda content: content.__setitem__(UNITS_AT, unit))


def _forget_sizes(path: Path) -> None:
    def change(content: bytearray) -> None:
        content[SIZES_AT : SIZES_AT + 12] = bytes(12)
        content[CODES_AT : CODES_AT + 4] = bytes(4)

    edit_bytes(path, change)


@scenario("lits")
def label_turned_and_moved_far(root: Path) -> None:
    liver(root)
    place(label_of(root), "RAS", (5, 0, 0))


@scenario("lits")
def label_permuted_and_moved_far(root: Path) -> None:
    liver(root)
    place(label_of(root), "IPL", (0, -240, 0))


@scenario("lits")
def label_turned_and_moved_within_a_voxel(root: Path) -> None:
    liver(root)
    place(label_of(root), "RAS", (0.3, 0, 0))


@scenario("lits")
def label_moved_alone(root: Path) -> None:
    liver(root)
    place(label_of(root), "LPS", (5, 0, 0))


@scenario("lits")
def label_with_the_header_of_itk(root: Path) -> None:
    liver(root)
    place(volume_of(root), "LAS")
    place(label_of(root), "LAS")
    _set_affine(label_of(root), np.diag([-1.0, -1, 1, 1]))


@scenario("lits")
def label_with_unit_voxels_elsewhere(root: Path) -> None:
    liver(root)
    affine = np.eye(4)
    affine[:3, 3] = 1
    _set_affine(label_of(root), affine)


@scenario("lits")
def label_turned_without_its_spacing(root: Path) -> None:
    liver(root)
    place(label_of(root), "RPS")
    _set_affine(label_of(root), np.diag([1.0, -1, 1, 1]))


@scenario("lits")
def label_with_an_affine_of_zeros(root: Path) -> None:
    liver(root)

    def change(content: bytearray) -> None:
        content[280:328] = bytes(48)  # the rows of sform
        content[CODES_AT : CODES_AT + 4] = bytes([0, 0, 1, 0])

    edit_bytes(label_of(root), change)


@scenario("lits")
def micrometres(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        measure_in(path, 3, 1000)


@scenario("lits")
def metres_beside_millimetres(root: Path) -> None:
    liver(root)
    measure_in(volume_of(root), 1, 1e-3)
    measure_in(label_of(root), 2, 1)


@scenario("lits")
def voxel_sizes_of_zero(root: Path) -> None:
    liver(root)
    for path in (volume_of(root), label_of(root)):
        _forget_sizes(path)


@scenario("lits")
def voxel_sizes_of_zero_beside_a_good_label(root: Path) -> None:
    liver(root)
    _forget_sizes(volume_of(root))


@scenario("lits")
def image_that_states_nothing_beside_a_good_label(root: Path) -> None:
    liver(root)
    _set_affine(volume_of(root), np.eye(4))
