"""`bench score` refuses files and settings that do not belong together."""

import nibabel as nib
import numpy as np
import pytest

from bench.cli.app import main
from tests.bench.cli.segmentations.made_labels import SHAPE, make_classes, save


def turn(affine):
    """Return an affine that is turned by 5 degrees around the voxel that is first in RAS order."""
    angle = np.radians(5)
    turned = affine.copy()
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]] @ affine[
        :2, :2
    ]
    first = [SHAPE[2] - 1, SHAPE[1] - 1, 0, 1]
    turned[:3, 3] += (affine @ first - turned @ first)[:3]
    return turned


AFFINES = {"place": lambda affine: np.eye(4), "direction": turn}


def write_bad(folder, kind):
    """Return the arguments of two paths that do not belong together."""
    reference = save(folder / "root" / "BraTS20_Training_007_seg.nii.gz", make_classes())
    prediction = folder / "mine" / "BraTS20_Training_007.nii.gz"
    if kind == "value":
        save(prediction, make_classes(), "brats2023")
    elif kind == "shape":
        save(prediction, make_classes()[:-1])
    elif kind == "spacing":
        save(prediction, make_classes(), spacing_mm=(3.0, 2.0, 2.0))
    elif kind in AFFINES:
        affine = AFFINES[kind](nib.load(reference).affine)
        save(prediction, make_classes(), affine=affine)
    elif kind == "stranger":
        save(folder / "mine" / "BraTS20_Training_008.nii.gz", make_classes())
    elif kind == "double":
        save(prediction, make_classes())
        save(folder / "mine" / "again" / "BraTS20_Training_007_seg.nii.gz", make_classes())
    elif kind == "nothing":
        prediction.parent.mkdir()
    elif kind == "damaged":
        prediction.parent.mkdir()
        prediction.write_bytes(b"no volume")
    elif kind == "file and folder":
        return save(prediction, make_classes()), reference.parent
    return reference.parent, prediction.parent


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("value", "label of case BraTS20_Training_007 may hold 0, 1, 2, 4, found 3"),
        (
            "shape",
            "must lie on the grid of the reference, (10, 12, 8) LPS of 3 x 2 x 1 mm from (-9, -22, "
            "0), got (10, 12, 7) LPS of 3 x 2 x 1 mm from (-9, -22, 0): they differ in shape (",
        ),
        (
            "spacing",
            "got (10, 12, 8) LPS of 3 x 2 x 2 mm from (-18, -22, 0): they differ in spacing and "
            "position by 9 mm (",
        ),
        ("place", "they differ in spacing and position by 23.8 mm (resample it, or write it"),
        ("direction", "they differ in direction ("),
        (
            "stranger",
            "every prediction must have a reference, got none for BraTS20_Training_008 "
            "(name them as",
        ),
        ("double", "--prediction must hold one file for case BraTS20_Training_007, got "),
        ("nothing", "--prediction must hold .nii or .nii.gz files, got none below"),
        ("missing", "--prediction must be a label file or a folder of them, got "),
        ("damaged", "file of case BraTS20_Training_007 "),
        ("file and folder", "must be two files or two folders, got a file and a folder"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(tmp_path, capsys, kind, sentence):
    reference, prediction = write_bad(tmp_path, kind)
    arguments = [
        "--reference",
        str(reference),
        "--prediction",
        str(prediction),
        "--dataset",
        "brats",
    ]
    assert main(["score", *arguments]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--release", "brast2023"], "unknown release 'brast2023' (did you mean 'brats2023'?)"),
        (
            ["--set", "train.lr=1"],
            "--set must be a field of the scoring such as eval.hd95, got 'train.lr=1'",
        ),
        (["--set", "eval.hd59=max"], "unknown setting 'eval.hd59' (did you mean 'eval.hd95'?)"),
        (["--set", "eval.empty_policy=none"], "eval.empty_policy: must be one of "),
        (["--set", "eval.et_min_vox=auto"], "eval.et_min_vox must be a number, got auto"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, capsys, options, sentence):
    path = str(save(tmp_path / "BraTS20_Training_007_seg.nii.gz", make_classes()))
    assert (
        main(["score", "--reference", path, "--prediction", path, "--dataset", "brats", *options])
        == 2
    )
    assert sentence in capsys.readouterr().err
