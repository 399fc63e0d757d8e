"""Every known data set becomes a raw folder of nnU-Net, which reads back as the same data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

import datasets
from bench.cli.app import main
from datasets.base import SYNTHETIC_MARKER, BadCasesError, DatasetInfo, Region
from datasets.nnunet.export import ExportOptions, export_dataset
from datasets.nnunet.exported_labels import describe_labels, order_regions
from datasets.phantoms.write import write_phantoms
from datasets.splits.rule import split_cases
from datasets.volumes.checking import check_dataset
from datasets.volumes.reading import read_image, read_label
from tests.datasets.nnunet.conftest import write_root
from tests.datasets.roots.build import save, scan, truth

SHAPE = (16, 32, 32)
LAYOUTS = {  # layout -> labels that nnU-Net gets
    "brats2020": {"WT": [1, 2, 3], "TC": [1, 3], "ET": 3},
    "brats2023": {"WT": [1, 2, 3], "TC": [1, 3], "ET": 3},
    "brats2024": {"WT": [1, 2, 3], "TC": [1, 3], "ET": 3, "RC": 4},
    "msd01": {"WT": [1, 2, 3], "TC": [1, 3], "ET": 3},
    "kits19": {"kidney": [1, 2], "tumour": 2},
    "kits23": {"kidney_and_masses": [1, 2, 3], "masses": [2, 3], "tumour": 2},
    "lits17": {"liver": [1, 2], "tumour": 2},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_release_reads_back_as_the_same_data(layout: str, tmp_path: Path) -> None:
    write_phantoms(layout, tmp_path / "root", 3, shape=SHAPE)
    original = datasets.build(layout, tmp_path / "root")
    options = ExportOptions(number=42, n_folds=3, link=layout == "kits19")
    written = export_dataset(original, tmp_path / "raw", options)
    assert written.folder.name == f"Dataset042_{layout}"
    assert (written.n_training, written.n_test, written.regions) == (3, 0, True)
    content = json.loads((written.folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0} | LAYOUTS[layout]
    found = datasets.build(written.folder.name, tmp_path / "raw")
    assert check_dataset(found, jobs=1).problems == ()
    assert found.synthetic
    for name in ("modality", "window"):
        assert getattr(found.info, name) == getattr(original.info, name)
    regions = {region.name: region.classes for region in found.info.regions}
    assert regions == {region.name: region.classes for region in original.info.regions}
    for old, new in zip(original.find_labelled(), found.find_labelled(), strict=True):
        assert (old.id, old.patient) == (new.id, new.patient)
        compare(old, original.info, new, found.info)
    links = [path for path in (written.folder / "imagesTr").iterdir() if path.is_symlink()]
    assert len(links) == (3 if layout == "kits19" else 0)
    folds = json.loads((written.folder / "splits_final.json").read_text())
    for number, fold in enumerate(folds):
        split = split_cases(original.find_labelled(), number, 3)
        assert (fold["val"], sorted(split.train + split.val)) == (list(split.test), fold["train"])


def compare(
    old: datasets.base.Case, old_info: DatasetInfo, new: datasets.base.Case, info: DatasetInfo
) -> None:
    """Compare two cases voxel by voxel, in orientation, place and classes."""
    old_image, old_grid = read_image(old)
    image, grid = read_image(new)
    np.testing.assert_array_equal(image, old_image)
    np.testing.assert_allclose(grid.affine, old_grid.affine, atol=1e-5)
    classes = read_label(new, info, grid)
    np.testing.assert_array_equal(classes, read_label(old, old_info, old_grid))
    stored = nib.load(str(new.label))
    np.testing.assert_allclose(stored.affine, grid.affine, atol=1e-5)
    assert stored.get_data_dtype() == np.uint8


def test_channels_in_other_orders_of_axes_are_brought_onto_one_grid(
    brats_root: Path, tmp_path: Path
) -> None:
    """nnU-Net stacks the arrays of a case as they are stored."""
    case = "BraTS20_Training_003"
    file = brats_root / case / f"{case}_t1.nii.gz"
    old = datasets.build("brats", brats_root).find_labelled()[2]
    turned = read_image(old)[0][2].astype(np.int16)
    stored = nib.load(file)
    turn = ornt_transform(io_orientation(stored.affine), axcodes2ornt("SRA"))
    other = nib.Nifti1Image(np.asarray(stored.dataobj), stored.affine).as_reoriented(turn)
    nib.save(other, file)
    dataset = datasets.build("brats", brats_root)
    written = export_dataset(dataset, tmp_path / "raw", ExportOptions(1, n_folds=3, link=True))
    images = written.folder / "imagesTr"
    assert [path.name for path in sorted(images.iterdir()) if not path.is_symlink()] == [
        f"{case}_0002.nii.gz"
    ]
    first, third = (nib.load(images / f"{case}_000{number}.nii.gz") for number in (0, 2))
    np.testing.assert_array_equal(third.affine, first.affine)
    assert third.get_data_dtype() == np.int16
    new = datasets.build("Dataset001_brats2020", tmp_path / "raw").find_labelled()[2]
    np.testing.assert_array_equal(read_image(new)[0][2], turned)


def test_a_datalist_with_patients_and_test_cases(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / "i" / f"{name}.nii", scan())
        save(tmp_path / "l" / f"{name}.nii.gz", truth(1, 5))
    training = []
    for name in "abc":
        entry = {"image": f"i/{name}.nii", "label": f"l/{name}.nii.gz", "patient": f"p{name}"}
        training.append(entry)
    content = {
        "name": "Spleen 2",
        "modality": "CT",
        "labels": {"0": "bg", "1": "spleen", "5": "lesion"},
        "training": training,
        "testing": ["i/d.nii"],
    }
    (tmp_path / "list.json").write_text(json.dumps(content))
    dataset = datasets.build("spleen_2", tmp_path / "list.json")
    written = export_dataset(dataset, tmp_path / "raw", ExportOptions(7, n_folds=3))
    assert (written.folder.name, written.n_training, written.n_test) == (
        "Dataset007_spleen_2",
        3,
        1,
    )
    found = json.loads((written.folder / "dataset.json").read_text())
    assert found["channel_names"] == {"0": "CT"}
    assert found["labels"] == {"background": 0, "spleen": 1, "lesion": 2}
    assert "regions_class_order" not in found
    assert [path.name for path in (written.folder / "imagesTs").iterdir()] == ["d_0000.nii.gz"]
    assert not (written.folder / SYNTHETIC_MARKER).exists()
    again = datasets.build(written.folder.name, written.folder)
    assert [case.patient for case in again.find_labelled()] == ["pa", "pb", "pc"]
    assert check_dataset(again, jobs=1).problems == ()


def make_info(**regions: tuple[int, ...]) -> DatasetInfo:
    n_classes = 1 + max(max(classes) for classes in regions.values())
    names = ("background", *"abcdef"[: n_classes - 1])
    found = tuple(Region(name, classes) for name, classes in regions.items())
    values = tuple(range(n_classes))
    return DatasetInfo("x", "x", "", "MRI", ("t1",), names, values, found, "")


@pytest.mark.parametrize(
    ("regions", "order"),
    [
        ({"one": (1,), "two": (2,)}, [1, 2]),
        ({"two": (2,), "all": (1, 2)}, [1, 2]),
        ({"all": (1, 2, 3), "core": (2, 3), "rim": (3,)}, [1, 2, 3]),
        ({"left": (1, 2), "right": (2, 3)}, None),  # neither is painted over the other
        ({"all": (1, 2)}, None),  # two classes with nothing to tell them apart
        ({"two": (2,)}, None),  # class 1 would be lost
    ],
)
def test_regions_are_painted_one_over_the_other(
    regions: dict[str, tuple[int, ...]], order: list[int] | None
) -> None:
    info = make_info(**regions)
    ordered = order_regions(info)
    assert (None if ordered is None else [label for _, label in ordered]) == order
    labels = describe_labels(info)["labels"]
    assert set(labels) == {"background", *(regions if order else "abcdef"[: len(info.classes) - 1])}


def test_a_bad_case_is_named_and_nothing_is_left(brats_root: Path, tmp_path: Path) -> None:
    file = brats_root / "BraTS20_Training_002" / "BraTS20_Training_002_t2.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    dataset = datasets.build("brats", brats_root)
    with pytest.raises(BadCasesError, match=r"BraTS20_Training_002_t2\.nii\.gz"):
        export_dataset(dataset, tmp_path / "raw", ExportOptions(1, n_folds=3))
    assert not list((tmp_path / "raw").iterdir())
    (brats_root / "BraTS20_Training_001" / "BraTS20_Training_001_t1.nii.gz").unlink()
    dataset = datasets.build("brats", brats_root)
    options = ExportOptions(1, n_folds=3, skip_bad_cases=True)
    written = export_dataset(dataset, tmp_path / "raw", options)
    assert written.n_training == 4
    assert [each.case for each in written.left_out] == [
        "BraTS20_Training_001",
        "BraTS20_Training_002",
    ]
    assert len(list((written.folder / "imagesTr").iterdir())) == 16
    again = datasets.build(written.folder.name, written.folder)
    assert check_dataset(again, jobs=1).problems == ()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_root(tmp_path / "raw")
    words = ["data", "export", "--datasets", "Dataset137_Tumour", "--data-root"]
    words += [str(tmp_path / "raw"), "--folds", "3", "--out", str(tmp_path / "other")]
    assert main([*words, "--preprocessed", str(tmp_path / "pre")]) == 0
    folder = tmp_path / "other" / "Dataset500_Tumour"
    assert f"wrote {folder}: 6 cases to train on, 1 without a label" in capsys.readouterr().out
    folds = (tmp_path / "pre" / folder.name / "splits_final.json").read_bytes()
    assert folds == (folder / "splits_final.json").read_bytes()
    assert main(words) == 2
    assert (
        f"--id: 500 is taken by {folder} (nnU-Net allows one folder a number: give another --id)"
        in capsys.readouterr().err
    )
    shutil.rmtree(folder)
    assert main(words) == 0
    assert "to nnUNet_preprocessed/Dataset500_Tumour/splits_final.json, or give --preprocessed" in (
        capsys.readouterr().out
    )
