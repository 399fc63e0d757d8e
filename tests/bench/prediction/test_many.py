"""Many cases: a bad one does not stop the others, and nothing is done twice or overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bench.prediction.many import FAILED, KEPT, WRITTEN, Outcome, predict_many
from bench.prediction.networks import Networks
from datasets.base import DataError, DatasetInfo
from datasets.brats import Brats
from datasets.kits import Kits
from datasets.many_cases import find_many_cases
from datasets.phantoms.write import write_phantoms
from tests.datasets.nnunet.conftest import write_root

MakeNetworks = Callable[..., Networks]
CASES = [f"BraTS20_Training_{number:03d}" for number in (1, 2, 3)]


@pytest.fixture
def folder(phantoms: Path, tmp_path: Path) -> Path:
    """Three cases, in a folder that a test may change."""
    for case in CASES:
        shutil.copytree(phantoms / case, tmp_path / "cases" / case)
    return tmp_path / "cases"


def predict(networks: Networks, folder: Path, out: Path, **options: bool) -> dict[str, Outcome]:
    cases, problems = find_many_cases(networks.runs[0].info, folder, [str(folder)])
    seen = []
    outcomes = predict_many(
        networks, cases, problems, out, lambda *facts: seen.append(facts), **options
    )
    n_all = len(outcomes)
    assert seen == [(each, number, n_all) for number, each in enumerate(outcomes, start=1)]
    return {outcome.case: outcome for outcome in outcomes}


def test_every_case_of_a_folder_is_written_on_its_own_grid(
    make_networks: MakeNetworks, folder: Path, tmp_path: Path
) -> None:
    networks = make_networks("first", "second")
    found = predict(networks, folder, tmp_path / "out")
    assert {case: each.status for case, each in found.items()} == dict.fromkeys(CASES, WRITTEN)
    for case in CASES:
        written = nib.load(tmp_path / "out" / f"{case}.nii.gz")
        source = nib.load(folder / case / f"{case}_flair.nii.gz")
        np.testing.assert_array_equal(written.affine, source.affine)
        n_vox = np.count_nonzero(np.asarray(written.dataobj))
        assert n_vox > 0
        record = json.loads((tmp_path / "out" / f"{case}.json").read_text())
        assert record["runs"] == {"first": "sha of first", "second": "sha of second"}
        assert list(record["inputs"]) == ["flair", "t1ce", "t1", "t2"]
        assert record["volumes_ml"]["WT"] == pytest.approx(n_vox * 1e-3)
        assert found[case].volumes_ml == record["volumes_ml"]


def test_what_the_same_runs_made_of_the_same_files_is_kept(
    make_networks: MakeNetworks, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = predict(make_networks(), folder, out)
    (out / f"{CASES[1]}.nii.gz").unlink()  # as if it had been killed after the record
    times = {case: (out / f"{case}.nii.gz").stat().st_mtime_ns for case in (CASES[0], CASES[2])}
    shutil.copytree(folder, tmp_path / "copy")  # other paths and times, the same content
    again = predict(make_networks(), tmp_path / "copy", out)
    assert [each.status for each in again.values()] == [KEPT, WRITTEN, KEPT]
    assert [each.volumes_ml for each in again.values()] == [
        each.volumes_ml for each in first.values()
    ]
    for case, time in times.items():
        assert (out / f"{case}.nii.gz").stat().st_mtime_ns == time
    more = predict(make_networks(), folder, out, probabilities=True)
    assert [each.status for each in more.values()] == [WRITTEN] * 3
    assert [each.status for each in predict(make_networks(), folder, out).values()] == [KEPT] * 3


def change_runs(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    return make("second")


def change_cutoff(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    return make(min_vox=10)


def change_input(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    for case in CASES:
        shutil.copy(folder / case / f"{case}_t1.nii.gz", folder / case / f"{case}_t2.nii.gz")
    return make()


def change_output(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    for case in CASES:
        shutil.copy(folder / case / f"{case}_seg.nii.gz", out / f"{case}.nii.gz")
    return make()


def remove_records(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    for case in CASES:
        (out / f"{case}.json").unlink()
    return make()


def damage_records(make: MakeNetworks, folder: Path, out: Path) -> Networks:
    for case in CASES:
        (out / f"{case}.json").write_text("{")
    return make()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_runs, "made by other runs or of other files (give another --output, or delete it)"),
        (change_cutoff, "made by other runs or of other files"),
        (change_input, "made by other runs or of other files"),
        (change_output, "has changed since it was written (give another --output, or delete it)"),
        (remove_records, "is there already, of unknown origin (give another --output, or delete"),
        (damage_records, "must be valid JSON, got a damaged file"),
    ],
)
def test_files_of_another_origin_are_left_alone(
    change: Callable[..., Networks],
    sentence: str,
    make_networks: MakeNetworks,
    folder: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    predict(make_networks(), folder, out)
    networks = change(make_networks, folder, out)
    before = [(out / f"{case}.nii.gz").read_bytes() for case in CASES]
    found = predict(networks, folder, out)
    assert [each.status for each in found.values()] == [FAILED] * 3
    assert all(sentence in each.reason for each in found.values())
    assert [(out / f"{case}.nii.gz").read_bytes() for case in CASES] == before


def test_bad_cases_do_not_stop_the_others(
    make_networks: MakeNetworks, folder: Path, tmp_path: Path
) -> None:
    (folder / CASES[0] / f"{CASES[0]}_t1.nii.gz").unlink()
    damaged = folder / CASES[1] / f"{CASES[1]}_t2.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    found = predict(make_networks(), folder, tmp_path / "out")
    assert {case: each.status for case, each in found.items()} == {
        CASES[0]: FAILED,
        CASES[1]: FAILED,
        CASES[2]: WRITTEN,
    }
    assert "has no t1 volume" in found[CASES[0]].reason
    assert str(damaged) in found[CASES[1]].reason
    assert sorted(file.name for file in (tmp_path / "out").glob("*.nii.gz")) == [
        f"{CASES[2]}.nii.gz"
    ]


def test_a_file_that_vanishes_does_not_stop_the_others(
    make_networks: MakeNetworks, folder: Path, tmp_path: Path
) -> None:
    networks = make_networks()
    cases, _ = find_many_cases(networks.runs[0].info, folder, [str(folder)])
    (folder / CASES[0] / f"{CASES[0]}_t1.nii.gz").unlink()
    outcomes = predict_many(networks, cases, [], tmp_path / "out", lambda *facts: None)
    assert [each.status for each in outcomes] == [FAILED, WRITTEN, WRITTEN]
    assert "_t1.nii.gz: No such file or directory" in outcomes[0].reason


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA")])
def test_a_case_that_is_too_large_does_not_stop_the_others(
    error: Exception,
    make_networks: MakeNetworks,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def segment(networks: Networks, case: object, scratch: Path, **options: bool) -> None:
        raise error

    monkeypatch.setattr("bench.prediction.many.segment_case", segment)
    found = predict(make_networks(), folder, tmp_path / "out")
    assert [each.status for each in found.values()] == [FAILED] * 3
    assert "needs more memory than there is" in found[CASES[0]].reason


def test_probabilities_have_the_form_of_nnunet(
    make_networks: MakeNetworks, folder: Path, tmp_path: Path
) -> None:
    predict(make_networks("a", "b"), folder, tmp_path / "out", probabilities=True)
    label = np.asarray(nib.load(tmp_path / "out" / f"{CASES[0]}.nii.gz").dataobj)
    with np.load(tmp_path / "out" / f"{CASES[0]}.npz") as arrays:
        found = arrays["probabilities"]
    assert (found.dtype, found.shape) == (np.float16, (4, *label.shape[::-1]))
    values = np.array([0, 1, 2, 4])
    np.testing.assert_array_equal(values[found.argmax(axis=0)].transpose(2, 1, 0), label)
    np.testing.assert_allclose(found.astype(np.float32).sum(axis=0), 1, atol=2e-3)
    assert (found[0] == 1).any(), "outside the head is background"


def test_the_cases_of_every_kind_of_input(phantoms: Path, tmp_path: Path) -> None:
    """Folders of a release, flat folders of volumes, nnU-Net's folders, ids, datalists."""
    brats = Brats(phantoms).info

    def names(info: DatasetInfo, *inputs: Path | str, root: Path = phantoms) -> list[str]:
        return [case.id for case in find_many_cases(info, root, list(map(str, inputs)))[0]]

    assert names(brats, phantoms) == [f"BraTS20_Training_{n:03d}" for n in range(1, 6)]
    assert names(brats, phantoms / CASES[1]) == CASES[1:2]
    assert names(brats, CASES[2], CASES[0]) == [CASES[2], CASES[0]]
    write_phantoms("kits19", tmp_path / "kits", 2, shape=(16, 32, 32))
    kits = Kits(tmp_path / "kits").info
    assert names(kits, tmp_path / "kits") == ["case_00000", "case_00001"]
    flat = tmp_path / "flat"
    flat.mkdir()
    for case in ("x", "y"):
        shutil.copy(tmp_path / "kits" / "case_00000" / "imaging.nii.gz", flat / f"{case}.nii.gz")
    assert names(kits, flat) == ["x", "y"]
    raw = write_root(tmp_path / "raw")
    info = _info_of(raw)
    assert names(info, raw / "imagesTs", root=raw) == ["case_007"]
    assert names(info, raw, root=raw) == [f"case_{n:03d}" for n in range(1, 8)]


def test_inputs_without_a_case_are_refused(phantoms: Path, tmp_path: Path) -> None:
    raw = write_root(tmp_path / "raw")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"--input: must hold a case of .*, got none in .*empty"):
        find_many_cases(_info_of(raw), raw, [str(empty)])
    shutil.copytree(raw / "imagesTs", tmp_path / "other")
    shutil.copy(
        raw / "imagesTr" / "case_001_0000.nii.gz", tmp_path / "other" / "case_007_0000.nii.gz"
    )
    inputs = [str(raw / "imagesTs"), str(tmp_path / "other")]
    with pytest.raises(DataError, match="--input: two cases have one id, case_007"):
        find_many_cases(_info_of(raw), raw, inputs)


def _info_of(raw: Path) -> DatasetInfo:
    import datasets

    return datasets.build(raw.name, raw).info
