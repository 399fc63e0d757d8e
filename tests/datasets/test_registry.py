from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from datasets.base import DataError, Release

ROOT = Path(__file__).parents[2]


def test_names_are_sorted_and_classes_carry_their_name() -> None:
    assert datasets.names() == ["brats", "kits", "lits"]
    assert [datasets.get(name).name for name in datasets.names()] == datasets.names()


RELEASES = [(name, release) for name in datasets.names() for release in datasets.get(name).releases]


@pytest.mark.parametrize(("name", "release"), RELEASES)
def test_info_is_consistent(name: str, release: Release) -> None:
    info = datasets.get(name).describe(release.name)
    assert (info.name, info.release) == (release.copy_of or release.name, release.name)
    assert datasets.family_of(info.name) == name
    assert len(info.classes) == len(info.label_values) == len(set(info.label_values))
    assert info.classes[0] == "background"
    assert info.label_values[0] == 0
    for region in info.regions:
        assert set(region.classes) <= set(range(1, len(info.classes)))


def test_a_release_is_a_data_set_of_its_own_and_has_a_number() -> None:
    assert list(datasets.releases()) == [
        *("brats2017", "brats2018", "brats2019", "brats2020", "brats2021", "brats2023"),
        *("brats2024", "brats2025", "fets2021", "fets2022", "goat2024", "men2023", "met2023"),
        *("met2025", "msd01", "ped2023", "ped2024", "ssa2023", "kits19", "kits21", "kits23"),
        *("lits17", "msd03"),
    ]
    assert datasets.members_of("kits") == ["kits", "kits19", "kits21", "kits23"]
    assert datasets.members_of("kits21") == ["kits21"]
    assert datasets.members_of("spleen") == ["spleen"]
    assert datasets.family_of("spleen") == "spleen"
    assert datasets.get("msd03") is datasets.get("lits")


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"^unknown data set 'brtas' \(did you mean 'brats'\?\); available: brats, brats2017,",
    ):
        datasets.get("brtas")
    with pytest.raises(ValueError, match=r"^unknown data set 'kits20' \(did you mean 'kits2"):
        datasets.get("kits20")
    with pytest.raises(ValueError, match=r"^unknown data set 'xyz'; available"):
        datasets.check_name("xyz")


@pytest.mark.parametrize("name", datasets.names())
def test_build_names_a_root_that_is_missing_or_empty(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{name}: there is no folder {tmp_path}/nowhere$"):
        datasets.build(name, tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=rf"{name}: no case was recognised: {tmp_path} holds "):
        datasets.build(name, tmp_path)


def test_import_is_light_and_silent() -> None:
    heavy = "{'numpy', 'nibabel', 'torch', 'monai'}"
    code = f"import sys, datasets, datasets.base; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
    assert done.stderr == ""
