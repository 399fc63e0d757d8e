from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets import preprocessing
from datasets.base import Case, DataError
from datasets.brats import Brats
from datasets.preprocessing import fingerprint, prepare

SHAPE = (6, 8, 10)
Save = Callable[..., Path]


def snapshot(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*")) if path.is_file()}


def test_prepared_arrays_hold_the_files(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    heard: list[tuple[int, int]] = []
    prepared = prepare(dataset, cases, tmp_path / "cache", lambda done, total: heard.append((done, total)))
    assert heard == [(number, 6) for number in range(1, 7)]
    assert [case.id for case in prepared] == [case.id for case in cases]
    case, ready = cases[3], prepared[3]
    raw = np.stack([np.asarray(nib.load(path).dataobj)[::-1, ::-1].T for path in case.images.values()])  # LPS -> RAS
    expected = dataset.normalise(raw.astype(np.float32))
    assert (ready.shape, ready.spacing_mm) == (SHAPE, (3.0, 2.0, 1.0))
    assert ready.image().dtype == np.float16
    np.testing.assert_allclose(ready.image(), expected, atol=2e-3)
    assert case.label is not None
    values = np.asarray(nib.load(case.label).dataobj)[::-1, ::-1].T
    np.testing.assert_array_equal(np.array([0, 1, 2, 4])[ready.label()], values)
    assert ready.label().dtype == np.uint8


def test_foreground_lists_voxels_of_each_class(
    brats_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "MAX_FOREGROUND", 10)
    dataset = Brats(brats_root)
    ready = prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]
    label = np.asarray(ready.label())
    assert ready.n_foreground == (1, 10, 10)
    for index, voxels in enumerate(ready.foreground(), start=1):
        assert voxels.shape == (ready.n_foreground[index - 1], 3)
        assert len(np.unique(voxels, axis=0)) == len(voxels)
        assert set(label[tuple(voxels.T)].tolist()) == {index}


def test_prepared_case_is_small_to_send(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    ready = prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]
    sent = pickle.dumps(ready)
    assert len(sent) < 500
    np.testing.assert_array_equal(pickle.loads(sent).image(), ready.image())
    with pytest.raises(ValueError, match="read-only"):
        ready.image()[0] = 0


def test_prepared_files_are_kept_until_a_file_changes(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    first = prepare(dataset, cases, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert prepare(dataset, cases, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == times
    changed = cases[2].images["t2"]
    os.utime(changed, ns=(1, 1))
    second = prepare(dataset, cases, tmp_path)
    assert [a.folder == b.folder for a, b in zip(first, second, strict=True)] == [True, True, False, True, True, True]


def test_interrupted_preparation_is_resumed(brats_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    prepare(dataset, cases, tmp_path / "undisturbed")

    def die(path: Path, array: np.ndarray) -> None:
        if path.name == "label.npy" and "Training_004" in str(path):
            raise KeyboardInterrupt
        save(path, array)

    save = np.save
    monkeypatch.setattr(preprocessing.np, "save", die)
    monkeypatch.setattr(preprocessing.shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process tidies nothing
    with pytest.raises(KeyboardInterrupt):
        prepare(dataset, cases, tmp_path / "cache")
    monkeypatch.undo()
    home = tmp_path / "cache" / "brats"
    assert sum(not path.name.startswith(".") for path in home.iterdir()) == 3
    (part,) = [path for path in home.iterdir() if path.name.startswith(".")]
    prepare(dataset, cases, tmp_path / "cache")
    shutil.rmtree(part)
    assert snapshot(tmp_path / "cache") == snapshot(tmp_path / "undisturbed")


def test_two_at_once_do_not_collide(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: prepare(dataset, cases, tmp_path / "cache"), range(3)))
    assert results[0] == results[1] == results[2]
    assert len(list((tmp_path / "cache" / "brats").iterdir())) == 6


def test_all_unusable_cases_are_named_at_once(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    cases[1].images["t1"].write_bytes(b"")
    label = cases[4].label
    assert label is not None
    label.write_bytes(label.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        prepare(dataset, cases, tmp_path / "cache")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"brats: {brats_root}: 2 cases cannot be used (--skip-bad-cases leaves them out):"
    assert [str(cases[1].images["t1"]) in lines[1], str(label) in lines[2], len(lines)] == [True, True, 3]
    assert len(list((tmp_path / "cache" / "brats").iterdir())) == 4


def test_case_without_label_has_only_an_image(tmp_path: Path, brats_root: Path) -> None:
    dataset = Brats(brats_root)
    first = dataset.find_cases()[0]
    ready = prepare(dataset, [Case(first.id, first.patient, first.images, None)], tmp_path)[0]
    assert ready.image().shape == (4, *SHAPE)
    with pytest.raises(DataError, match="case BraTS20_Training_001 has no label"):
        ready.label()


def test_case_without_foreground_is_prepared(tmp_path: Path, brats_root: Path, save: Save) -> None:
    dataset = Brats(brats_root)
    case = dataset.find_cases()[0]
    assert case.label is not None
    save(case.label, np.zeros(SHAPE, dtype=np.uint8))
    ready = prepare(dataset, [case], tmp_path)[0]
    assert ready.n_foreground == (0, 0, 0)
    assert [len(voxels) for voxels in ready.foreground()] == [0, 0, 0]
    assert not ready.label().any()


def test_record_suffices_to_write_a_prediction_back(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    case = dataset.find_cases()[0]
    record = json.loads((prepare(dataset, [case], tmp_path)[0].folder / "case.json").read_text())
    stored = nib.load(case.images["t1"])
    assert (record["id"], record["patient"]) == (case.id, case.patient)
    assert tuple(record["stored_shape"]) == stored.shape
    np.testing.assert_array_equal(record["stored_affine"], stored.affine)


def test_fingerprint_knows_names_and_sizes_alone(brats_root: Path, tmp_path: Path) -> None:
    cases = Brats(brats_root).find_cases()
    before = fingerprint(cases, brats_root)
    assert len(before) == 12
    moved = Path(shutil.copytree(brats_root, tmp_path / "copy"))
    assert fingerprint(Brats(moved).find_cases(), moved) == before
    os.utime(cases[0].images["t1"], ns=(1, 1))
    assert fingerprint(cases, brats_root) == before
    assert fingerprint(cases[1:], brats_root) != before
    cases[0].images["t1"].write_bytes(b"shorter")
    assert fingerprint(cases, brats_root) != before
