"""A raw folder of nnU-Net is a data set: cases, regions, channels, and faults to the last word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import datasets
from bench.cli.app import main
from datasets.base import DataError, Region, Window
from datasets.splits.file import find_split_file
from datasets.volumes.checking import check_dataset
from datasets.volumes.reading import read_image, read_label

Make = Callable[..., Path]
NAME = "Dataset137_Tumour"


@pytest.mark.parametrize("below", [True, False])
def test_a_raw_folder_is_a_data_set(make_root: Make, below: bool) -> None:
    folder = make_root()
    dataset = datasets.build(NAME, folder.parent if below else folder)
    info = dataset.info
    assert (dataset.root, info.name, info.modality) == (folder, NAME, "MRI")
    assert info.channels == ("T1", "T2")
    assert info.label_values == (0, 1, 2, 3)
    assert info.classes == ("background", "label 1", "label 2", "rim")
    assert info.regions == (Region("whole", (1, 2, 3)), Region("core", (1, 3)), Region("rim", (3,)))
    assert [case.id for case in dataset.find_labelled()] == [f"case_{n:03d}" for n in range(1, 7)]
    assert [case.id for case in dataset.discovery.unlabelled] == ["case_007"]
    case = dataset.find_labelled()[0]
    image, geometry = read_image(case)
    stored = nib.load(folder / "imagesTr" / "case_001_0001.nii.gz")
    np.testing.assert_array_equal(geometry.to_stored(image[1]), np.asarray(stored.dataobj))
    assert np.unique(read_label(case, info, geometry)).tolist() == [0, 1, 2, 3]
    assert check_dataset(dataset, jobs=1).problems == ()


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (
            {"labels": {"background": 0, "a": 1, "b": [2], "c": 3}, "regions_class_order": None},
            {
                "classes": ("background", "a", "b", "c"),
                "regions": (Region("a", (1,)), Region("b", (2,)), Region("c", (3,))),
            },
        ),
        ({"channel_names": {"0": "CT"}}, {"modality": "CT", "channels": ("CT",), "window": None}),
        (
            {
                "channel_names": {"0": "ct"},
                "window": {"low_hu": -9, "high_hu": 9, "mean_hu": 1, "std_hu": 2},
            },
            {"modality": "CT", "window": Window(-9, 9, 1, 2)},
        ),
        ({"channel_names": {"0": "CT-like"}}, {"modality": "MRI"}),
        ({"channel_names": {"0": "CT", "1": "CT"}}, {"modality": "CT", "channels": ("CT", "CT_1")}),
        ({"ending": ".nii", "file_ending": ".nii"}, {"modality": "MRI"}),
    ],
)
def test_forms_of_the_description(
    make_root: Make, changes: dict[str, Any], facts: dict[str, object]
) -> None:
    dataset = datasets.build(NAME, make_root(**changes))
    assert {key: getattr(dataset.info, key) for key in facts} == facts
    assert len(dataset.find_labelled()) == 6
    assert (
        dataset.scaling
        == {"CT": "CT window", "MRI": "z-score within the body"}[dataset.info.modality]
    )


def test_files_that_the_description_lists_replace_the_folders(
    make_root: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_root()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(folder / "imagesTr" / "case_002_0000.nii.gz", tmp_path / "elsewhere" / "x.nii.gz")
    monkeypatch.setenv("MY_FILES", str(tmp_path / "elsewhere"))
    content = json.loads((folder / "dataset.json").read_text())
    listed = {
        "second": {
            "images": ["$MY_FILES/x.nii.gz", "imagesTr/case_002_0001.nii.gz"],
            "label": "labelsTr/case_002.nii.gz",
        },
        "first": {
            "images": [f"imagesTr/case_001_000{channel}.nii.gz" for channel in (0, 1)],
            "label": "labelsTr/case_001.nii.gz",
        },
    }
    (folder / "dataset.json").write_text(
        json.dumps(content | {"dataset": listed, "numTraining": 2})
    )
    dataset = datasets.build(NAME, folder)
    assert [case.id for case in dataset.find_labelled()] == ["first", "second"]
    images = dataset.find_labelled()[1].images
    assert images["T1"] == tmp_path / "elsewhere" / "x.nii.gz"
    assert check_dataset(dataset, jobs=1).problems == ()


def test_folds_and_patients_of_the_folder_are_taken(make_root: Make) -> None:
    folder = make_root(patients={"case_002": "p", "case_003": "p"})
    fold = {"train": ["case_001", "case_002", "case_003"], "val": ["case_004"]}
    (folder / "splits_final.json").write_text(json.dumps([fold]), encoding="utf-8-sig")
    dataset = datasets.build(NAME, folder.parent)
    found = find_split_file("auto", dataset.root)
    assert found is not None
    assert found.folds[0].val == {"case_004"}
    assert [case.patient for case in dataset.find_labelled()][:4] == [
        "case_001",
        "p",
        "p",
        "case_004",
    ]


def test_the_meaning_of_the_labels_is_part_of_the_data(make_root: Make) -> None:
    first = datasets.build(NAME, make_root())
    other = {"background": 0, "whole": [1, 2, 3], "core": [1, 2], "rim": 3}
    assert first.meaning != datasets.build(NAME, make_root(labels=other)).meaning


BAD_DESCRIPTIONS = {
    "v1": (
        {"channel_names": None, "modality": {"0": "T1"}},
        "channel_names: is missing (a folder of nnU-Net v1: nnUNetv2_convert_old_nnUNet_dataset "
        "converts it)",
    ),
    "no ending": ({"file_ending": None}, "file_ending: is missing"),
    "another format": (
        {"file_ending": ".mha"},
        "file_ending: must be .nii.gz or .nii, which are the formats that are read here, got .mha "
        "(convert the files, for example with SimpleITK)",
    ),
    "mixed channels": (
        {"channel_names": {"0": "CT", "1": "PET"}},
        "channel_names: must be CT in all channels or in none, got CT, PET",
    ),
    "no scaling": (
        {"channel_names": {"0": "T1", "1": "noNorm"}},
        "channel_names: 'noNorm' asks for a scaling that is not built in",
    ),
    "channels from one": (
        {"channel_names": {"1": "T1", "2": "T2"}},
        "channel_names: keys must be 0, 1, 2, ..., got 1, 2",
    ),
    "no background": ({"labels": {"a": 1}}, 'labels: must have "background": 0'),
    "background alone": ({"labels": {"background": 0}}, "labels: must have one beside"),
    "a word": ({"labels": {"background": 0, "a": "one"}}, "labels.a.0: Input should be a valid"),
    "negative": (
        {"labels": {"background": 0, "a": 1, "b": -1}},
        "labels: 'b' must have values from 0 on, got [-1]",
    ),
    "no name": ({"labels": {"background": 0, "": 1}}, "names must be 1 to 100 letters"),
    "too many": (
        {"labels": {"background": 0} | {f"n{value}": value for value in range(1, 255)}},
        "labels: must be at most 254 with the background, got 255",
    ),
    "reserved": ({"labels": {"background": 0, "mean": 1}}, "without 'mean', got 'mean'"),
    "order": (
        {"regions_class_order": [1, 2]},
        "regions_class_order: must have a label value for each of the 3 regions, got [1, 2]",
    ),
    "ignore in between": (
        {"labels": {"background": 0, "a": 1, "ignore": 2, "b": 3}},
        "labels: 'ignore' must be the highest value, 4, got [2]",
    ),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
def test_a_wrong_description_is_one_sentence(
    name: str, make_root: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, sentence = BAD_DESCRIPTIONS[name]
    folder = make_root()
    content = json.loads((folder / "dataset.json").read_text()) | changes
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(content))
    assert main(["data", "check", "--data-root", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: nnU-Net: {folder}/dataset.json: ")
    assert sentence in printed
    assert len(printed.splitlines()) == 1


def break_root(folder: Path, kind: str) -> None:
    images, labels = folder / "imagesTr", folder / "labelsTr"
    first = images / "case_001_0000.nii.gz"
    if kind == "no channel":
        (images / "case_001_0001.nii.gz").unlink()
    elif kind == "channel too many":
        shutil.copy(first, images / "case_001_0002.nii.gz")
    elif kind == "no label":
        (labels / "case_001.nii.gz").unlink()
    elif kind == "empty":
        first.write_bytes(b"")
    elif kind == "name of a channel":
        first.rename(images / "case_001.nii.gz")
    elif kind == "value":
        volume = nib.load(labels / "case_001.nii.gz")
        values = np.asarray(volume.dataobj).copy()
        values[0, 0, 0] = 7
        nib.save(nib.Nifti1Image(values, volume.affine), labels / "case_001.nii.gz")
    elif kind == "label alone":
        shutil.copy(labels / "case_001.nii.gz", labels / "case_009.nii.gz")
    elif kind == "count":
        content = json.loads((folder / "dataset.json").read_text()) | {"numTraining": 9}
        (folder / "dataset.json").write_text(json.dumps(content))
    elif kind == "in both":
        shutil.copytree(images, folder / "imagesTs", dirs_exist_ok=True)


BAD_FOLDERS = {
    "no channel": (1, "case case_001 has no T2 volume (looked for case_001_0001 in"),
    "channel too many": (1, "case case_001 has a channel 0002, but dataset.json names 2 (remove"),
    "no label": (1, "case case_001 has no label (looked for"),
    "empty": (1, "is empty, 0 bytes (fetch the file again)"),
    "name of a channel": (1, "must be named CASE_0000.nii.gz, with a channel's number (rename it"),
    "value": (1, "label of case case_001 may hold 0, 1, 2, 3, found 7"),
    "label alone": (0, "1 labels without an image, such as case_009 (they are not used)"),
    "count": (0, "numTraining is 9, but there are 6 cases (nnU-Net refuses that)"),
    "in both": (0, "case case_001 is in imagesTr and in imagesTs (the first is taken)"),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_a_wrong_folder_is_listed(
    kind: str, make_root: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sentence = BAD_FOLDERS[kind]
    folder = make_root()
    break_root(folder, kind)
    assert main(["data", "check", "--data-root", str(folder.parent), "--json"]) == code
    record = json.loads(capsys.readouterr().out)[0]
    assert sentence in " ".join(each["message"] for each in record["problems"])
    assert all(each["message"].count("\n") == 0 for each in record["problems"])


def test_another_folder_than_asked_for_is_named(make_root: Make, tmp_path: Path) -> None:
    folder = make_root()
    with pytest.raises(DataError, match=r"must be that folder, got Dataset137_Tumour \(--datasets"):
        datasets.build("Dataset138_Other", folder)
    with pytest.raises(DataError, match=r"no folder .*Dataset138_Other, got Dataset137_Tumour"):
        datasets.build("Dataset138_Other", folder.parent)
    with pytest.raises(DataError, match=r"no folder .*nowhere \(looked for imagesTr/CASE_0000"):
        datasets.build(NAME, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"must have a dataset\.json, imagesTr and labelsTr"):
        datasets.build(NAME, folder / "imagesTr")
    shutil.copytree(folder, tmp_path / "data")  # under another name: the user's word is taken
    assert datasets.build(NAME, tmp_path / "data").info.name == NAME


def test_several_folders_below_one_root(
    make_root: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = make_root().parent
    make_root(name="Dataset042_BraTS18")
    assert main(["data", "check", "--data-root", str(raw), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["dataset"] for record in records] == ["Dataset042_BraTS18", NAME]
    assert [record["labelled"] for record in records] == [6, 6]


def test_the_folder_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--datasets", NAME]) == 2
    assert "is a raw folder of nnU-Net (give --data-root, the folder" in capsys.readouterr().err
