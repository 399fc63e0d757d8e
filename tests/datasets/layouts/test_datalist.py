"""A user's own data set: forms of a datalist, their meaning, and faults, to the last word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datasets
from bench.cli.app import main
from datasets.base import Dataset, Region, Window
from datasets.layouts.datalist import Datalist
from datasets.prepared.prepare import prepare
from datasets.volumes.checking import check_dataset
from datasets.volumes.reading import read_image, read_label
from tests.datasets.roots.build import save, save_stored, scan, truth

Save = Callable[..., Path]
TWO = [
    {"image": "i/a.nii.gz", "label": "l/a.nii.gz"},
    {"image": "i/b.nii.gz", "label": "l/b.nii.gz"},
]
GOOD: dict[str, Any] = {
    "name": "Spleen 2",
    "modality": "CT",
    "labels": {"0": "background", "1": "spleen", "5": "lesion"},
    "regions": {"organ": [1, 5], "lesion": [5]},
    "training": TWO,
    "testing": ["i/c.nii.gz"],
}


def write(folder: Path, **changes: object) -> Path:
    """Write a datalist and its files; None removes a key."""
    for name in "abc":
        save(folder / "i" / f"{name}.nii.gz", scan())
        save(folder / "l" / f"{name}.nii.gz", truth(1, 5))
    content = {key: value for key, value in (GOOD | changes).items() if value is not None}
    file = folder / "my.json"
    file.write_text(json.dumps(content))
    return file


def test_a_datalist_is_a_data_set(tmp_path: Path) -> None:
    dataset = datasets.build("spleen_2", write(tmp_path))
    info = dataset.info
    assert (info.name, info.title, info.modality, info.channels) == (
        "spleen_2",
        "Spleen 2",
        "CT",
        ("ct",),
    )
    assert (info.classes, info.label_values) == (("background", "spleen", "lesion"), (0, 1, 5))
    assert info.regions == (Region("organ", (1, 2)), Region("lesion", (2,)))
    assert [case.id for case in dataset.find_cases()] == ["a", "b", "c"]
    assert [case.id for case in dataset.find_labelled()] == ["a", "b"]
    case = dataset.find_cases()[0]
    image, geometry = read_image(case)
    np.testing.assert_array_equal(image[0], scan())
    np.testing.assert_array_equal(
        np.array([0, 1, 5])[read_label(case, info, geometry)], truth(1, 5)
    )
    assert check_dataset(dataset, jobs=1).problems == ()
    ready = prepare(dataset, dataset.find_cases(), tmp_path / "cache")
    assert [each.n_foreground for each in ready] == [(1, 1), (1, 1), ()]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (
            {"labels": {"background": 0, "spleen": 1, "lesion": 5}},
            {"classes": ("background", "spleen", "lesion")},
        ),
        (
            {"labels": {"0": "bg", "5": "y", "1": "x"}, "regions": None},
            {"regions": (Region("x", (1,)), Region("y", (2,)))},
        ),
        ({"modality": {"0": "CT"}}, {"modality": "CT", "channels": ("CT",)}),
        ({"modality": "T1"}, {"modality": "MRI", "channels": ("t1",)}),
        ({"channels": ["portal"]}, {"channels": ("portal",)}),
        (
            {"window": {"low_hu": -100, "high_hu": 300, "mean_hu": 90, "std_hu": 40}},
            {"window": Window(-100.0, 300.0, 90.0, 40.0)},
        ),
        ({"name": None}, {"name": "my", "title": "my"}),
        (
            {"description": "Spleens of 2024", "tensorImageSize": "3D", "numTraining": 2},
            {"title": "Spleens of 2024"},
        ),
    ],
)
def test_forms_that_are_understood(
    changes: dict[str, Any], facts: dict[str, Any], tmp_path: Path
) -> None:
    info = Datalist(write(tmp_path, **changes)).info
    assert {name: getattr(info, name) for name in facts} == facts


def test_channels_in_files_of_their_own_or_on_a_fourth_axis(tmp_path: Path) -> None:
    entry = {
        "image": ["i/a.nii.gz", "i/b.nii.gz"],
        "label": "l/a.nii.gz",
        "id": "one",
        "patient": "p1",
    }
    file = write(tmp_path, modality={"1": "T2", "0": "FLAIR"}, training=[entry], testing=None)
    save(tmp_path / "i" / "b.nii.gz", scan() + 7)
    (case,) = datasets.build("spleen_2", file).find_cases()
    assert (case.id, case.patient, list(case.images)) == ("one", "p1", ["FLAIR", "T2"])
    image, _ = read_image(case)
    np.testing.assert_array_equal(image, [scan(), scan() + 7])
    save_stored(
        tmp_path / "i" / "both.nii.gz",
        np.stack([scan().T, scan().T + 7], axis=-1),
        np.diag([1.0, 1, 3, 1]),
    )
    file = write(
        tmp_path,
        modality={"0": "FLAIR", "1": "T2"},
        training=[{"image": "i/both.nii.gz", "label": "l/a.nii.gz"}],
        testing=None,
    )
    (case,) = datasets.build("spleen_2", file).find_cases()
    np.testing.assert_array_equal(read_image(case)[0], [scan(), scan() + 7])


BAD = {
    "missing": (
        None,
        "{where}: no such file (--datasets takes names and datalists, files that end in .json)",
    ),
    "no_json": (
        "{training: ",
        "{where}: Invalid JSON: key must be a string at line 1 column 2 {hint}",
    ),
    "no_labels": ({"labels": None}, "{where}: labels: Field required {hint}"),
    "no_modality": ({"modality": None}, "{where}: modality: Field required {hint}"),
    "no_training": ({"training": []}, "{where}: training: must list a case, got none {hint}"),
    "no_label": (
        {"training": [TWO[0], {"image": "i/b.nii.gz"}]},
        "{where}: training.1.label: Field required {hint}",
    ),
    "one_class": (
        {"labels": {"0": "background"}, "regions": None},
        "{where}: labels: must have a background of value 0 and a class beside it, got "
        "{{'0': 'background'}} {hint}",
    ),
    "no_background": (
        {"labels": {"1": "spleen", "5": "lesion"}},
        "{where}: labels: must have a background of value 0 and a class beside it, got "
        "{{'1': 'spleen', '5': 'lesion'}} {hint}",
    ),
    "unknown_value": (
        {"regions": {"organ": [1, 7]}},
        "{where}: regions: 'organ' must be values of the labels [0, 1, 5], got [1, 7] {hint}",
    ),
    "misspelt": (
        {"region": {"organ": [1]}},
        "{where}: unknown key 'region' (did you mean 'regions'?) {hint}",
    ),
    "empty_window": (
        {"window": {"low_hu": 3, "high_hu": 3, "mean_hu": 0, "std_hu": 1}},
        "{where}: window: window: must have low < high and a positive standard deviation, "
        "got Window(low_hu=3.0, high_hu=3.0, mean_hu=0.0, std_hu=1.0) {hint}",
    ),
    "endless_window": (
        {"window": {"low_hu": -9, "high_hu": 3, "mean_hu": 1e999, "std_hu": 1}},
        "{where}: window.mean_hu: Input should be a finite number {hint}",
    ),
    "one_value": (
        {"labels": {"background": 0, "spleen": 1, "lesion": 1}, "regions": None},
        "{where}: labels: values must differ, got 1 more than once {hint}",
    ),
    "one_class_name": (
        {"labels": {"0": "background", "1": "spleen", "5": "spleen"}},
        "{where}: labels: classes must differ, got spleen more than once {hint}",
    ),
    "no_class_name": (
        {"labels": {"0": "background", "1": "", "5": "lesion"}},
        "{where}: labels and regions: names must be 1 to 100 letters, without 'mean', got '' "
        "{hint}",
    ),
    "one_channel_name": (
        {"modality": {"0": "T1", "1": "T1"}, "training": [TWO[0] | {"image": ["a", "b"]}]},
        "{where}: channels: names must differ, got T1 more than once {hint}",
    ),
    "lines_in_a_channel": (
        {"channels": ["a\nb"]},
        "{where}: channels: names must be 1 to 100 letters, without 'mean', got 'a\\nb' {hint}",
    ),
    "too_many_classes": (
        {"labels": {"background": 0} | {f"n{value}": value for value in range(1, 255)}},
        "{where}: labels: must be at most 254 with the background, got 255 {hint}",
    ),
    "key_twice": (
        json.dumps(GOOD).replace('"organ"', '"lesion"'),
        "{where}: keys of an object must differ, got lesion more than once {hint}",
    ),
    "window_of_mri": (
        {"modality": "MRI", "window": {"low_hu": 0, "high_hu": 3, "mean_hu": 1, "std_hu": 1}},
        "{where}: window: is of Hounsfield units, got modality MRI {hint}",
    ),
    "public_name": (
        {"name": "BraTS"},
        "{where}: name: 'brats' is the name of a public data set (give it another \"name\", "
        "or use --datasets brats --data-root {root})",
    ),
    "twice": (
        {"training": [TWO[0], TWO[0]]},
        '{where}: 1 cases have one id, such as a (give each entry an "id")',
    ),
    "bad_id": (
        {"training": [TWO[0] | {"id": "../x"}]},
        "{where}: training.0.id: must be letters, digits, '.', '_' and '-', got '../x' {hint}",
    ),
    "too_few_files": (
        {
            "modality": {"0": "a", "1": "b", "2": "c"},
            "training": [TWO[0] | {"image": ["i/a.nii.gz"] * 2}],
        },
        "{where}: image: must name a file for each of a, b, c, or one with a 4th axis, "
        "got 2, the first i/a.nii.gz",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_datalist_is_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, sentence = BAD[name]
    file = tmp_path / "my.json"
    if isinstance(changes, dict):
        write(tmp_path, **changes)
    elif changes is not None:
        file.write_text(changes)
    hint = "(docs/data.md has an example)"
    expected = sentence.format(where=f"datalist: {file}", root=tmp_path, hint=hint)
    assert main(["data", "check", "--datasets", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {expected}\n"
    with pytest.raises(ValueError, match="datalist: ") as caught:
        datasets.build("spleen_2", file)
    assert str(caught.value) == expected


def test_files_that_are_not_there_are_problems_of_their_cases(tmp_path: Path) -> None:
    dataset: Dataset = Datalist(write(tmp_path))
    (tmp_path / "l" / "b.nii.gz").unlink()
    (tmp_path / "i" / "c.nii.gz").write_bytes(b"")
    assert [(each.case, each.message) for each in dataset.discovery.problems] == [
        ("b", f"spleen_2: case b: no file {tmp_path}/l/b.nii.gz (fetch it, or mend the path)"),
        ("c", f"spleen_2: case c: {tmp_path}/i/c.nii.gz is empty, 0 bytes (fetch the file again)"),
    ]
    assert [case.id for case in dataset.discovery.cases] == ["a"]


def test_absent_test_files_are_warned_of(tmp_path: Path) -> None:
    """Roots of the Decathlon without imagesTs are common; such files are never trained on."""
    file = write(tmp_path, test=["imagesTs/d.nii.gz"], validation=["imagesTs/e.nii.gz"])
    (tmp_path / "i" / "c.nii.gz").unlink()
    findings = check_dataset(Datalist(file), jobs=1)
    assert findings.passed
    absent = [each for each in findings.problems if "no file" in each.message]
    assert [each.case for each in absent] == ["e", "c", "d"]
    assert all(each.is_warning for each in absent)
    assert [case.id for case in findings.discovery.cases] == ["a", "b"]


def test_the_meaning_of_labels_is_part_of_what_the_data_are(tmp_path: Path) -> None:
    first = Datalist(write(tmp_path)).meaning
    assert Datalist(write(tmp_path, description="other words")).meaning == first
    assert Datalist(write(tmp_path, regions={"organ": [1]})).meaning != first
    assert Datalist(write(tmp_path, modality="MRI")).meaning != first


def test_check_command_takes_datalists_without_a_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", "--datasets", str(write(tmp_path)), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"Spleen 2 (spleen_2) in {tmp_path}: 3 cases, 2 with a label" in printed
    assert "without a label, for prediction alone: c" in printed
    assert main(["data", "check"]) == 2
    assert (
        capsys.readouterr().err
        == "error: data: give --data-root, or datalists alone as --datasets\n"
    )
