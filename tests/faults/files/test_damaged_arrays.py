"""Prepared arrays that are not what was written are prepared again, and said; never used."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.cli.app import main
from datasets.base import BadCasesError, DataError
from datasets.brats import Brats
from datasets.prepared import integrity
from datasets.prepared.case import PreparedCase, load_prepared
from datasets.prepared.keys import Preparation
from datasets.prepared.prepare import prepare

Damage = Callable[[Path], object]


def put_nan(path: Path) -> None:
    array = np.load(path, mmap_mode="r+")
    array.reshape(-1)[:2000] = np.nan if array.dtype.kind == "f" else 1
    array.flush()


def put_nan_in_secret(path: Path) -> None:
    """As a failing disk does: size and time stay."""
    times = path.stat()
    put_nan(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [put_nan, put_nan_in_secret, cut, empty, Path.unlink]


@pytest.fixture
def ready(phantoms: Path, tmp_path: Path) -> PreparedCase:
    dataset = Brats(phantoms)
    return prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]


def read_all(case: PreparedCase) -> list[bytes]:
    patch = case.read_patch((0, 0, 0), (4, 8, 8))
    arrays = [case.image(), case.label(), case.reference(), *patch, *case.foreground()]
    return [np.asarray(array).tobytes() for array in arrays]


def begin_process() -> None:
    """Forget which files this process has read."""
    integrity._VERIFIED.clear()


def prepare_first(phantoms: Path, cache: Path) -> PreparedCase:
    dataset = Brats(phantoms)
    return prepare(dataset, dataset.find_cases()[:1], cache)[0]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["image.npy", "label.npy", "foreground.npy"])
def test_a_damaged_array_is_prepared_again_and_named(
    damage: Damage, name: str, ready: PreparedCase, phantoms: Path, tmp_path: Path, caplog
) -> None:
    expected = read_all(ready)
    files = {path: path.read_bytes() for path in ready.folder.iterdir()}
    damage(ready.folder / name)
    begin_process()
    again = prepare_first(phantoms, tmp_path)  # as the next command does
    assert read_all(again) == expected
    assert {path: path.read_bytes() for path in ready.folder.iterdir()} == files
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert any(str(ready.folder / name) in each for each in said), said
    assert f"case {ready.id} is prepared again" in caplog.text


@pytest.mark.parametrize("damage", [put_nan, cut, empty, Path.unlink])
def test_what_is_damaged_while_it_is_used_is_renewed(
    damage: Damage, ready: PreparedCase, caplog
) -> None:
    expected = read_all(ready)
    unpickled = pickle.loads(pickle.dumps(ready))  # as a worker gets it
    for name in ("image.npy", "label.npy", "foreground.npy"):
        damage(ready.folder / name)
    assert read_all(unpickled) == expected
    assert str(ready.folder / "image.npy") in caplog.text


def test_a_file_is_read_for_its_checksum_once_in_a_process(
    ready: PreparedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = integrity._read_checksum
    monkeypatch.setattr(
        integrity, "_read_checksum", lambda path: read.append(path.name) or original(path)
    )
    begin_process()
    for _ in range(3):
        read_all(ready)
    assert sorted(read) == ["foreground.npy", "image.npy", "label.npy"]


def test_a_missing_reference_is_not_replaced_by_the_label(phantoms: Path, tmp_path: Path) -> None:
    dataset = Brats(phantoms)
    settings = Preparation(spacing_mm=(3.0, 3.0, 3.0))
    case = prepare(dataset, dataset.find_cases()[:1], tmp_path, settings=settings)[0]
    expected = np.asarray(case.reference()).tobytes()
    (case.folder / "reference.npy").unlink()
    assert np.asarray(case.reference()).tobytes() == expected


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"{}", b'{"files": {"image.npy": 3}}'])
def test_a_damaged_record_is_written_again(
    content: bytes, ready: PreparedCase, phantoms: Path, tmp_path: Path, caplog
) -> None:
    file = ready.folder / "case.json"
    whole = file.read_bytes()
    file.write_bytes(content)
    prepare_first(phantoms, tmp_path)
    assert file.read_bytes() == whole
    assert str(file) in caplog.text or str(ready.folder) in caplog.text


def test_a_case_of_an_earlier_version_is_prepared_again_once(
    ready: PreparedCase, phantoms: Path, tmp_path: Path, caplog
) -> None:
    file = ready.folder / "case.json"
    files = {path: path.read_bytes() for path in ready.folder.iterdir()}
    record = json.loads(file.read_text())
    del record["files"]
    file.write_text(json.dumps(record, indent=1))
    prepare_first(phantoms, tmp_path)
    assert {path: path.read_bytes() for path in ready.folder.iterdir()} == files
    assert "1 cases: each was prepared by an earlier version" in caplog.text
    caplog.clear()
    prepare_first(phantoms, tmp_path)
    assert not caplog.records


def test_without_its_source_a_damaged_case_is_one_sentence(phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    dataset = Brats(root)
    cases = dataset.find_cases()[:2]
    ready = prepare(dataset, cases, tmp_path / "cache")
    source = next(iter(cases[0].images.values()))
    times = source.stat()
    source.write_bytes(bytes(times.st_size))  # of the same size and time, so that the key is equal
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    put_nan(ready[0].folder / "image.npy")
    with pytest.raises(BadCasesError) as caught:
        prepare(dataset, cases, tmp_path / "cache")
    said = str(caught.value)
    assert str(ready[0].folder / "image.npy") in said
    assert "cannot be prepared again" in said
    assert str(source) in said
    source.unlink()
    with pytest.raises(DataError, match=r"image.npy.*cannot be prepared again"):
        ready[0].image()  # in the middle of a run
    alone = load_prepared(ready[0].folder, dataset.info)
    with pytest.raises(DataError, match=r"remove its folder, and the case is prepared again"):
        alone.image()


@pytest.mark.slow
def test_a_command_says_what_it_prepares_again_and_exits_with_2_without_the_source(
    phantoms: Path,
    tmp_path: Path,
    new_store,
    monkeypatch,
    caplog,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    out = tmp_path / "out"
    arguments = ["run", "--methods", "linear", "--datasets", "brats", "--data-root", str(root)]
    arguments += ["--preset", "quick", "--out", str(out), "--epochs", "1", "--device", "cpu"]
    arguments += ["--backbone", "tiny_vit", "--weights", "none"]
    for setting in ("data.patch=4,32,32", "data.patches_per_epoch=2", "data.n_folds=3"):
        arguments += ["--set", setting]
    assert main(arguments) == 0
    array = sorted(out.glob("cache/*/*/image.npy"))[0]
    whole = array.read_bytes()
    put_nan(array)
    assert main([*arguments, "--force"]) == 0
    assert str(array) in caplog.text
    assert array.read_bytes() == whole
    put_nan(array)
    for file in sorted(root.rglob("*.nii*")):
        times = file.stat()
        file.write_bytes(bytes(times.st_size))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert main([*arguments, "--force"]) == 2
    said = capsys.readouterr().err
    assert str(array) in said
    assert "bring back the files of the case" in said
