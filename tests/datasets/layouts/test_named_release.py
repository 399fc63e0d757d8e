"""A release that the user names: it must be what is below the root, and decides between equals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import datasets
from datasets.base import DataError
from datasets.phantoms.layouts import LAYOUTS
from datasets.phantoms.write import write_phantoms
from datasets.volumes.checking import check_dataset
from tests.datasets.roots.build import glioma, kidney

SMALL = (16, 16, 16)
UNTOLD = ("met2023", "met2025", "ped2023", "ped2024")  # nothing tells one from the other
RIVALS = {  # the names of the files fit these as well, if the user says so
    "kits19": ["kits23"],
    "kits23": ["kits19"],
    "brats2023": ["brats2025"],
    "brats2024": ["brats2025"],
    "met2023": ["met2025"],
    "met2025": ["met2023"],
    "ped2023": ["ped2024"],
    "ped2024": ["ped2023"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_root_is_the_release_that_it_holds_and_no_other(layout: str, tmp_path: Path) -> None:
    write_phantoms(layout, tmp_path, 2, shape=SMALL)
    family = LAYOUTS[layout].dataset
    title = datasets.get(family).describe(layout).title
    held = datasets.get(family).describe(layout).name
    if layout not in UNTOLD:
        assert datasets.build(family, tmp_path).info.name == held
    assert datasets.build(held, tmp_path).info.name == held
    equals = {family, held, *RIVALS.get(layout, ())}
    if layout in UNTOLD:
        held = min(held, *RIVALS[layout])
        title = datasets.releases()[held][1].title
    others = [name for name in datasets.members_of(family) if name not in equals]
    assert others
    for other in others:
        wanted = datasets.releases()[other][1].title
        sentence = f"{other}: {tmp_path} must hold {wanted}, got {title} (--datasets {held} reads"
        with pytest.raises(DataError, match=re.escape(sentence)):
            datasets.build(other, tmp_path)


def test_the_word_of_the_user_decides_where_no_clue_does(tmp_path: Path) -> None:
    kidney(tmp_path)
    (tmp_path / "kits19").rename(tmp_path / "data")
    guessed = datasets.build("kits", tmp_path)
    assert guessed.info.name == "kits19"
    (warning,) = check_dataset(guessed, jobs=1).problems
    assert "the names would fit KiTS23 as well (its labels differ; --release kits23 names" in (
        warning.message
    )
    for name in ("kits19", "kits23"):
        told = datasets.build(name, tmp_path)
        assert told.info.name == name
        assert told.discovery.problems == ()


def test_the_word_of_the_user_goes_before_a_clue(tmp_path: Path) -> None:
    kidney(tmp_path)
    assert datasets.build("kits", tmp_path).info.name == "kits19"
    assert datasets.build("kits23", tmp_path).info.name == "kits23"


def test_a_folder_above_the_root_is_no_clue(tmp_path: Path) -> None:
    root = tmp_path / "kits19_project" / "kits23"
    kidney(root)
    (root / "kits19").rename(root / "data")
    assert datasets.build("kits", root).info.name == "kits23"
    dataset = datasets.build("kits", root.rename(tmp_path / "kits19_project" / "mine"))
    assert [each.message for each in dataset.discovery.problems if "KiTS23 as well" in each.message]


def test_a_root_with_two_releases_is_refused_by_any_name(tmp_path: Path) -> None:
    glioma(tmp_path)
    glioma(tmp_path, "BraTS19_CBICA_AAB_1")
    for name in ("brats", "brats2019", "brats2020", "brats2021"):
        with pytest.raises(DataError, match=r"must hold one release, got BraTS 20.. .* and BraTS"):
            datasets.build(name, tmp_path)


def test_parts_of_a_copy_are_the_release_itself(tmp_path: Path) -> None:
    write_phantoms("lits-kaggle", tmp_path, 1, shape=SMALL)
    dataset = datasets.build("lits17", tmp_path)
    assert (dataset.info.name, dataset.info.release) == ("lits17", "lits-kaggle")


def test_phantoms_of_two_releases_have_different_patients(tmp_path: Path) -> None:
    for name in ("brats2019", "brats2020", "brats"):
        write_phantoms(name, tmp_path / name, 1, shape=SMALL)
    labels = {}
    for name in ("brats2019", "brats2020", "brats"):
        (file,) = (tmp_path / name).rglob("*_seg.nii.gz")
        labels[name] = file.read_bytes()
    assert labels["brats"] == labels["brats2020"] != labels["brats2019"]


def test_files_of_older_versions_name_a_release_differently() -> None:
    assert datasets.get("lits").describe("lits").name == "lits17"
    assert datasets.get("brats").describe("fets").name == "fets2022"


def test_a_datalist_must_not_call_itself_as_a_release(tmp_path: Path) -> None:
    entry = '{"image": "a.nii", "label": "b.nii"}'
    labels = '{"0": "background", "1": "tumour"}'
    text = f'{{"name": "KiTS21", "modality": "CT", "labels": {labels}, "training": [{entry}]}}'
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match="'kits21' is the name of a public data set"):
        datasets.build("mine", tmp_path / "mine.json")
