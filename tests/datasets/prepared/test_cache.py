"""The folder of prepared cases: kept, renewed, resumed, shared, refused if too large."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from datasets.base import DataError
from datasets.brats import Brats
from datasets.prepared import capacity
from datasets.prepared.capacity import Need, choose_workers, estimate
from datasets.prepared.keys import Preparation, fingerprint
from datasets.prepared.prepare import prepare

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys, time
from pathlib import Path
from datasets.prepared import arrays, prepare
from datasets.brats import Brats

slow, root, cache = float(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
write = arrays.write_label

def write_slowly(*arguments):
    time.sleep(slow)
    return write(*arguments)

arrays.write_label = write_slowly
dataset = Brats(root)
prepare.prepare(dataset, dataset.find_cases(), cache)
"""


def snapshot(cache: Path) -> dict[str, bytes]:
    files = [
        path for path in sorted(cache.rglob("*")) if path.is_file() and ".locks" not in path.parts
    ]
    return {str(path.relative_to(cache)): path.read_bytes() for path in files}


def start(root: Path, cache: Path, slow_s: float) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(slow_s), str(root), str(cache)], env=environment
    )


def ready_folders(cache: Path) -> list[Path]:
    return list((cache / "brats2020").glob("BraTS*"))


def test_killed_half_way_resumes_to_identical_bytes(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    prepare(dataset, dataset.find_cases(), tmp_path / "undisturbed")
    cache = tmp_path / "cache"
    process = start(brats_root, cache, slow_s=0.3)
    deadline = time.monotonic() + 60
    while len(ready_folders(cache)) < 2:
        assert time.monotonic() < deadline, "nothing was prepared"
        time.sleep(0.01)
    time.sleep(0.1)  # into the third
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 2 <= len(ready_folders(cache)) < 6
    assert list((cache / "brats2020").glob(".*.part")), "the kill came between two cases"
    prepare(dataset, dataset.find_cases(), cache)
    assert snapshot(cache) == snapshot(tmp_path / "undisturbed")


def test_two_processes_at_once_do_not_collide(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    prepare(dataset, dataset.find_cases(), tmp_path / "alone")
    processes = [start(brats_root, tmp_path / "cache", slow_s=0.05) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert snapshot(tmp_path / "cache") == snapshot(tmp_path / "alone")


def test_workers_give_the_same_bytes_and_name_bad_cases(
    brats_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    prepare(dataset, cases, tmp_path / "one")
    monkeypatch.setattr(capacity, "WORTH_A_POOL", 0)
    heard: list[int] = []
    prepared = prepare(
        dataset, cases, tmp_path / "many", lambda done, total: heard.append(done), jobs=2
    )
    assert heard == [1, 2, 3, 4, 5, 6]
    assert [case.id for case in prepared] == [case.id for case in cases]
    assert snapshot(tmp_path / "many") == snapshot(tmp_path / "one")
    for number in (1, 4):
        cases[number].images["t1"].write_bytes(b"no volume")
    with pytest.raises(DataError) as caught:
        prepare(dataset, cases, tmp_path / "bad", jobs=2)
    assert [str(cases[number].images["t1"]) in str(caught.value) for number in range(6)] == [
        number in (1, 4) for number in range(6)
    ]


def test_prepared_files_are_kept_until_a_file_changes(
    brats_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()
    first = prepare(dataset, cases, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert prepare(dataset, cases, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == times
    os.utime(cases[2].images["t2"], ns=(1, 1))
    second = prepare(dataset, cases, tmp_path)
    assert [a.folder == b.folder for a, b in zip(first, second, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    assert not first[2].folder.exists()  # what was made of the older file is gone, and that is said
    assert f"the files of case {cases[2].id} have changed" in caplog.text


def test_settings_have_folders_of_their_own(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    cases = dataset.find_cases()[:1]
    settings = [Preparation(), Preparation(crop=False), Preparation(spacing_mm=(3.0, 2.0, 2.0))]
    prepared = [prepare(dataset, cases, tmp_path, settings=each)[0] for each in settings]
    assert [case.shape for case in prepared] == [(6, 7, 10), (6, 8, 10), (6, 7, 5)]
    assert all(case.folder.is_dir() for case in prepared)


def test_too_little_room_is_said_before_anything_is_written(
    brats_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Brats(brats_root)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: usage(10, 0, 6 * 480 * 9 - 1))
    message = r"brats2020: preparing takes up to 0.0 GiB below .*cache/brats2020, "
    message += r"which has 0.0 GiB free \("
    message += "make room"
    with pytest.raises(DataError, match=message):
        prepare(dataset, dataset.find_cases(), tmp_path / "cache")
    assert not ready_folders(tmp_path / "cache")
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: usage(10, 0, 6 * 480 * 9))
    prepare(dataset, dataset.find_cases(), tmp_path / "cache")
    assert len(ready_folders(tmp_path / "cache")) == 6


@pytest.mark.parametrize("spacing_mm", [None, (1.5, 2.0, 1.0), (6.0, 2.0, 2.0)])
def test_estimate_is_not_exceeded(
    brats_root: Path, tmp_path: Path, spacing_mm: tuple[float, float, float] | None
) -> None:
    dataset = Brats(brats_root)
    case = dataset.find_cases()[0]
    ready = prepare(dataset, [case], tmp_path, settings=Preparation(spacing_mm))[0]
    arrays = [np.load(ready.folder / name) for name in ("image.npy", "label.npy", "reference.npy")
              if (ready.folder / name).is_file()]  # fmt: skip
    used = sum(array.nbytes for array in arrays)
    assert used <= estimate(case, spacing_mm).disk <= 2.5 * used


def test_memory_bounds_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "count_cores", lambda: 8)
    monkeypatch.setattr(capacity, "available_memory", lambda: 10 << 30)
    large = Need(disk=0, float32=700 << 20)
    assert choose_workers([large] * 20, None) == 3  # 2.8 GiB each
    assert choose_workers([large] * 20, 2) == 2
    assert choose_workers([large] * 2, None) == 2
    assert choose_workers([Need(0, 4 << 30)] * 20, None) == 1
    assert choose_workers([Need(0, 1 << 20)] * 20, None) == 1  # not worth it


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


def test_records_do_not_depend_on_the_moment(brats_root: Path, tmp_path: Path) -> None:
    dataset = Brats(brats_root)
    ready = prepare(dataset, dataset.find_cases()[:1], tmp_path)[0]
    assert set(json.loads((ready.folder / "case.json").read_text())["settings"]) == {
        "spacing_mm",
        "crop",
    }
