"""Each root of `tests.datasets.roots` gives an error, a warning or nothing, to the last word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets.base import BadCasesError, DataError
from datasets.prepared.prepare import prepare
from datasets.volumes.checking import check_dataset
from datasets.volumes.reading import read_image, read_label
from tests.datasets.roots import (
    file_names,
    geometry,
    headers,
    other_formats,
    plausibility,
    releases,
    unreadable,
    voxel_values,
    whole_root,
)
from tests.datasets.roots.build import (
    BRAIN_MM,
    SCENARIOS,
    SPACING_MM,
    brain,
    label_of,
    scan,
    seg_of,
    t1_of,
    truth,
    volume_of,
)

THEMES = (
    file_names,
    geometry,
    headers,
    other_formats,
    plausibility,
    releases,
    unreadable,
    voxel_values,
    whole_root,
)  # they fill SCENARIOS
OUTCOMES: dict[str, list[str]] = {}
for line in Path(__file__).with_name("roots").joinpath("outcomes.txt").read_text().splitlines():
    if line.startswith("    "):
        OUTCOMES[next(reversed(OUTCOMES))].append(line.strip())
    elif line and not line.startswith("#"):
        OUTCOMES[line] = []


def read_outcome(dataset: str, root: Path) -> list[str]:
    """Return what `data check` says of a root."""
    try:
        check = check_dataset(datasets.build(dataset, root), jobs=1)
    except DataError as error:
        return [f"refused: {error}"]
    found = [
        f"{'warning' if each.is_warning else 'error'}: {each.message}" for each in check.problems
    ]
    return found or [f"accepted: {', '.join(case.id for case in check.discovery.cases)}"]


def spell_out(sentence: str, dataset: str, root: Path) -> str:
    """Fill in what differs between machines: folders, and sizes of packed files."""
    layouts = dict.fromkeys(release.layout for release in datasets.get(dataset).releases)
    files = {
        "<packed>": root / "volume-1.nii.gz",
        "<t1>": t1_of(root),
        "<seg>": seg_of(root),
        "<volume>": volume_of(root),
        "<label>": label_of(root),
    }
    sizes = {
        f"{name[:-1]}_bytes>": path.stat().st_size for name, path in files.items() if path.is_file()
    }
    for name, value in {"<layouts>": "; ".join(layouts), **files, **sizes, "<root>": root}.items():
        sentence = sentence.replace(name, str(value))
    return sentence


def test_every_scenario_has_an_outcome() -> None:
    themes = {make.__module__ for _, make in SCENARIOS.values()}
    assert themes == {theme.__name__ for theme in THEMES}
    assert set(OUTCOMES) == set(SCENARIOS)
    assert len(OUTCOMES) >= 140


@pytest.mark.parametrize("name", SCENARIOS)
def test_outcome_is_exact(name: str, tmp_path: Path) -> None:
    dataset, make = SCENARIOS[name]
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    assert read_outcome(dataset, root) == [
        spell_out(each, dataset, root) for each in OUTCOMES[name]
    ]


@pytest.mark.parametrize(
    "name", [name for name, lines in OUTCOMES.items() if not lines[0].startswith("refused")]
)
def test_preparation_stops_at_the_same_cases(name: str, tmp_path: Path) -> None:
    """A run refuses all cases for which `data check` has an error, and accepts warnings."""
    dataset_name, make = SCENARIOS[name]
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    dataset = datasets.build(dataset_name, root)
    checked = {each.case for each in check_dataset(dataset, jobs=1).problems if not each.is_warning}
    found = {each.case for each in dataset.discovery.errors}
    cases = [case for case in dataset.discovery.cases if case.id not in found]
    try:
        prepare(dataset, cases, tmp_path / "cache")
    except BadCasesError as error:
        found |= {each.case for each in error.problems}
    assert found == checked


ODD_BUT_EQUAL = [
    "deep_and_linked",
    "packed_and_unpacked",
    "old_names_of_modalities",
    "misnamed_label_355",
    "unpadded_id",
    "label_with_rounding_noise",
    "uint16_label",
    "trailing_axis_of_one",
    "big_endian",
    "slope_of_zero",
    "double_precision",
    "label_with_the_identity_as_header",
    "label_in_another_order",
    "modality_in_another_order",
    "converted_kits",
    "label_turned_and_moved_within_a_voxel",
    "label_moved_alone",
    "label_with_the_header_of_itk",
    "label_with_unit_voxels_elsewhere",
    "label_with_an_affine_of_zeros",
    "micrometres",
    "metres_beside_millimetres",
]


@pytest.mark.parametrize("name", ODD_BUT_EQUAL)
def test_what_is_accepted_is_read_as_if_it_were_plain(name: str, tmp_path: Path) -> None:
    dataset_name, make = SCENARIOS[name]
    make(tmp_path)
    dataset = datasets.build(dataset_name, tmp_path)
    (case,) = dataset.find_cases()
    image, geometry = read_image(case)
    assert image.dtype == np.float32
    is_brain = dataset_name == "brats"
    channels = [brain(role) if is_brain else scan() for role in case.images]
    np.testing.assert_array_equal(image, np.stack(channels))
    wanted = truth(1, 2, 4) if dataset_name == "brats" else truth(1, 2)
    values = np.array(dataset.info.label_values)[read_label(case, dataset.info, geometry)]
    np.testing.assert_array_equal(values, wanted)
    assert geometry.spacing_mm == (BRAIN_MM if is_brain else SPACING_MM)
