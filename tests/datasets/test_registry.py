from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from datasets.base import DataError

ROOT = Path(__file__).parents[2]


def test_names_are_sorted_and_classes_carry_their_name() -> None:
    assert datasets.names() == ["brats", "kits", "lits"]
    assert [datasets.get(name).name for name in datasets.names()] == datasets.names()


RELEASES = [
    (name, release.name) for name in datasets.names() for release in datasets.get(name).releases
]


@pytest.mark.parametrize(("name", "release"), RELEASES)
def test_info_is_consistent(name: str, release: str) -> None:
    info = datasets.get(name).describe(release)
    assert (info.name, info.release) == (name, release)
    assert len(info.classes) == len(info.label_values) == len(set(info.label_values))
    assert info.classes[0] == "background"
    assert info.label_values[0] == 0
    for region in info.regions:
        assert set(region.classes) <= set(range(1, len(info.classes)))


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"^unknown data set 'brtas' \(did you mean 'brats'\?\); available: brats, kits,",
    ):
        datasets.get("brtas")
    with pytest.raises(ValueError, match=r"^unknown data set 'xyz'; available"):
        datasets.check_name("xyz")


@pytest.mark.parametrize("name", datasets.names())
def test_build_names_a_root_that_is_missing_or_empty(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{name}: no folder {tmp_path}/nowhere \(looked for "):
        datasets.build(name, tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=rf"{name}: no case below {tmp_path} \(looked for "):
        datasets.build(name, tmp_path)


def test_import_is_light_and_silent() -> None:
    heavy = "{'numpy', 'nibabel', 'torch', 'monai'}"
    code = f"import sys, datasets, datasets.base; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
    assert done.stderr == ""
