"""Every release in its usual layout: what is found, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import datasets
from bench.cli.app import main
from datasets.phantoms.layouts import LAYOUTS
from datasets.phantoms.write import draw_patient
from datasets.volumes.reading import read_image, read_label

MRI, CT = ("flair", "t1ce", "t1", "t2"), ("ct",)
GLIOMA = {"WT": {1, 2, 4}, "TC": {1, 4}, "ET": {4}}
GLIOMA2023 = {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}}
KIDNEY, LIVER = {"kidney": {1, 2}, "tumour": {2}}, {"liver": {1, 2}, "tumour": {2}}
MASSES = {"kidney_and_masses": {1, 2, 3}, "masses": {2, 3}, "tumour": {2}}


@dataclass(frozen=True)
class Expected:
    """What the releases' own documents say; regions are values of the label files."""

    title: str
    channels: tuple[str, ...]
    first_case: str
    patient: str
    regions: dict[str, set[int]]


EXPECTED = {
    "brats2017": Expected("BraTS 2017", MRI, "Brats17_CBICA_AAB0_1", "Brats17_CBICA_AAB0", GLIOMA),
    "brats2018": Expected("BraTS 2018", MRI, "Brats18_CBICA_AAB0_1", "Brats18_CBICA_AAB0", GLIOMA),
    "brats2019": Expected("BraTS 2019", MRI, "BraTS19_CBICA_AAB0_1", "BraTS19_CBICA_AAB0", GLIOMA),
    "brats2020": Expected(
        "BraTS 2020", MRI, "BraTS20_Training_001", "BraTS20_Training_001", GLIOMA
    ),
    "brats2021": Expected("BraTS 2021", MRI, "BraTS2021_00000", "BraTS2021_00000", GLIOMA),
    "brats2023": Expected(
        "BraTS 2023 GLI", MRI, "BraTS-GLI-00000-000", "BraTS-GLI-00000", GLIOMA2023
    ),
    "brats2024": Expected(
        "BraTS 2024 GLI post-treatment",
        MRI,
        "BraTS-GLI-00000-100",
        "BraTS-GLI-00000",
        GLIOMA2023 | {"RC": {4}},
    ),
    "brats2025": Expected(
        "BraTS 2025 GLI pre- and post-treatment",
        MRI,
        "BraTS-GLI-00000-000",
        "BraTS-GLI-00000",
        GLIOMA2023 | {"RC": {4}},
    ),
    "ssa2023": Expected(
        "BraTS-Africa (SSA)", MRI, "BraTS-SSA-00000-000", "BraTS-SSA-00000", GLIOMA2023
    ),
    "men2023": Expected(
        "BraTS 2023 MEN", MRI, "BraTS-MEN-00000-000", "BraTS-MEN-00000", GLIOMA2023
    ),
    "met2023": Expected(
        "BraTS 2023 MET", MRI, "BraTS-MET-00000-000", "BraTS-MET-00000", GLIOMA2023
    ),
    "met2025": Expected(
        "BraTS 2025 MET", MRI, "BraTS-MET-00000-000", "BraTS-MET-00000", GLIOMA2023 | {"RC": {4}}
    ),
    "ped2023": Expected(
        "BraTS 2023 PED", MRI, "BraTS-PED-00000-000", "BraTS-PED-00000", GLIOMA2023
    ),
    "ped2024": Expected(
        "BraTS 2024 PED",
        MRI,
        "BraTS-PED-00000-000",
        "BraTS-PED-00000",
        {"WT": {1, 2, 3, 4}, "TC": {1, 2, 3}, "ET": {1}, "CC": {3}},
    ),
    "goat2024": Expected(
        "BraTS 2024 GoAT", MRI, "BraTS-GoAT-00000", "BraTS-GoAT-00000", GLIOMA2023
    ),
    "fets2021": Expected("FeTS 2021", MRI, "FeTS21_Training_001", "FeTS21_Training_001", GLIOMA),
    "fets2022": Expected("FeTS 2022", MRI, "FeTS2022_00000", "FeTS2022_00000", GLIOMA),
    "msd01": Expected(
        "MSD Task01 BrainTumour",
        MRI,
        "BRATS_001",
        "BRATS_001",
        {"WT": {1, 2, 3}, "TC": {2, 3}, "ET": {3}},
    ),
    "kits19": Expected("KiTS19", CT, "case_00000", "case_00000", KIDNEY),
    "kits21": Expected("KiTS21", CT, "case_00000", "case_00000", MASSES),
    "kits23": Expected("KiTS23", CT, "case_00000", "case_00000", MASSES),
    "lits17": Expected("LiTS", CT, "volume-0", "volume-0", LIVER),
    "lits-kaggle": Expected("LiTS (Kaggle parts)", CT, "volume-0", "volume-0", LIVER),
    "msd03": Expected("MSD Task03 Liver", CT, "liver_0", "liver_0", LIVER),
}
NAMED = {name: name for name in ("met2023", "met2025", "ped2023", "ped2024")}  # files do not tell


def test_all_layouts_are_expected() -> None:
    assert set(EXPECTED) == set(LAYOUTS)
    assert len(EXPECTED) == 24


@pytest.mark.parametrize("layout", EXPECTED)
def test_layout_is_discovered_read_and_checked(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, name, root = EXPECTED[layout], LAYOUTS[layout].dataset, tmp_path / "data"
    assert main(["data", "demo", "--layout", layout, "--cases", "2", "--out", str(root)]) == 0
    dataset = datasets.build(NAMED.get(layout, name), root)
    cases, info = dataset.find_cases(), dataset.info
    assert (info.title, info.release, info.channels) == (expected.title, layout, expected.channels)
    assert (len(cases), cases[0].id, cases[0].patient) == (2, expected.first_case, expected.patient)
    assert all(tuple(case.images) == expected.channels and case.label for case in cases)
    values = {
        region.name: {info.label_values[each] for each in region.classes} for region in info.regions
    }
    assert values == expected.regions

    image, geometry = read_image(cases[0])
    classes = read_label(cases[0], info, geometry)
    assert cases[0].label is not None
    stored = geometry.to_canonical(np.asanyarray(nib.load(cases[0].label).dataobj))
    np.testing.assert_array_equal(np.array(info.label_values)[classes], stored)
    drawn = draw_patient(layout, 0)
    unchanged = classes < len(np.unique(drawn.classes))  # cyst and cavity are put on top
    np.testing.assert_array_equal(image[:, unchanged], np.rint(drawn.image)[:, unchanged])
    np.testing.assert_array_equal(classes[unchanged], drawn.classes[unchanged])

    capsys.readouterr()
    named = ["--release", NAMED[layout]] if layout in NAMED else []
    assert main(["data", "check", "--data-root", str(root), *named, "--jobs", "1", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["release"], record["cases"], record["labelled"]) == (layout, 2, 2)
    assert (record["problems"], record["synthetic"]) == ([], True)
