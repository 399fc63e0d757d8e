"""Lengths are in mm, in whatever unit a header states them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import datasets
from bench.cli.app import main
from datasets.prepared.capacity import estimate
from datasets.prepared.prepare import prepare
from datasets.volumes.labels import geometry_of
from datasets.volumes.nifti import open_volume
from tests.datasets.roots.build import SPACING_MM, label_of, liver, volume_of
from tests.datasets.roots.headers import edit_bytes, measure_in, micrometres, voxel_sizes_of_zero


@pytest.mark.parametrize(
    ("unit", "per_mm", "stated"),
    [(0, 1.0, False), (1, 1e-3, True), (2, 1.0, True), (3, 1e3, True), (10, 1.0, True)],
)
def test_a_header_in_any_unit_is_read_in_mm(
    unit: int, per_mm: float, stated: bool, tmp_path: Path
) -> None:
    liver(tmp_path)
    before = open_volume(volume_of(tmp_path), "x").placement.affine
    measure_in(volume_of(tmp_path), unit, per_mm)
    volume = open_volume(volume_of(tmp_path), "x")
    assert geometry_of(volume).spacing_mm == SPACING_MM
    np.testing.assert_allclose(volume.placement.affine, before, rtol=1e-6)
    assert volume.placement.unit_stated is stated


def test_preparation_and_scores_are_in_mm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = []
    for name in ("plain", "micrometres"):
        root = tmp_path / name
        root.mkdir()
        if name == "plain":
            liver(root)
        else:
            micrometres(root)
        dataset = datasets.build("lits", root)
        (case,) = prepare(dataset, dataset.find_cases(), root / "cache", jobs=1)
        assert case.spacing_mm == SPACING_MM
        words = ["--reference", str(label_of(root)), "--prediction", str(label_of(root))]
        assert main(["score", "--dataset", "lits17", *words, "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out)["cases"])
    assert records[0] == records[1]
    assert records[0][0]["reference_ml"] == pytest.approx(2 * np.prod(SPACING_MM) / 1000)


def test_the_needs_of_resampling_are_estimated_in_mm(tmp_path: Path) -> None:
    needs = []
    for name, make in (("mm", liver), ("um", micrometres)):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        (case,) = datasets.build("lits", tmp_path / name).find_cases()
        needs.append(estimate(case, (1.0, 1.0, 1.0)))
    assert needs[0] == needs[1]
    assert needs[0].disk < 10_000


def test_a_prediction_is_scored_across_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    liver(tmp_path)
    prediction = tmp_path / "other.nii"
    prediction.write_bytes(label_of(tmp_path).read_bytes())
    measure_in(prediction, 3, 1000)
    words = ["--reference", str(label_of(tmp_path)), "--prediction", str(prediction)]
    assert main(["score", "--dataset", "lits17", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"][0]["dice"] == 1.0


def test_a_case_without_voxel_sizes_has_no_lengths(tmp_path: Path) -> None:
    voxel_sizes_of_zero(tmp_path)
    dataset = datasets.build("lits", tmp_path)
    (case,) = prepare(dataset, dataset.find_cases(), tmp_path / "cache", jobs=1)
    assert not case.spacing_known


def test_nibabel_prints_nothing_of_a_header_that_it_corrects(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    voxel_sizes_of_zero(tmp_path)
    assert not open_volume(volume_of(tmp_path), "x").placement.spacing_stated
    assert capfd.readouterr().err == ""


def test_one_size_of_zero_hides_no_other(tmp_path: Path) -> None:
    liver(tmp_path)

    def forget_last(content: bytearray) -> None:
        content[88:92] = bytes(4)
        content[252:256] = bytes(4)

    edit_bytes(volume_of(tmp_path), forget_last)
    grid = geometry_of(open_volume(volume_of(tmp_path), "x"))
    assert not grid.spacing_stated
    assert nib.load(volume_of(tmp_path)).header.get_zooms() == (1.5, 2.0, 1.0)
