"""Several commands on one store, one folder of phantoms, one file of weights, one database."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from bench.models.build import build_backbone
from bench.models.weights.checkpoints import file_sha256
from bench.pretrain import train
from bench.pretrain.recipe import Recipe
from bench.tracking import store as store_module
from bench.tracking.entities import writing
from bench.tracking.store import Store, open_store
from datasets.phantoms import files, write
from datasets.phantoms.write import write_phantoms
from reports.records.run import Status
from tests.faults.values.hostile_names import make_result


def open_server(folder: Path, new_store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store as on a server: nobody holds a lock."""
    monkeypatch.chdir(folder)
    local = open_store(new_store(folder))
    local.find_experiment("brats")
    return Store("http://server", local.client, nullcontext())


def list_runs(store: Store) -> list:
    experiment = store.client.get_experiment_by_name("brats")
    return list(store.client.search_runs([experiment.experiment_id]))


def test_a_result_that_is_not_done_never_takes_the_place_of_a_done_one(
    tmp_path: Path, new_store
) -> None:
    store = open_store(new_store(tmp_path))
    done = make_result(0, "m")
    failed = replace(done, status=Status.FAILED, reason="no memory", cases=(), cost=None)
    assert store.log_result(failed, tmp_path)
    assert store.log_result(done, tmp_path)
    for status in (Status.FAILED, Status.TIMEOUT, Status.OOM):
        assert not store.log_result(replace(failed, status=status), tmp_path)
    (run,) = list_runs(store)
    assert run.data.tags["status"] == "done"
    again = replace(done, group="run-2")
    assert store.log_result(again, tmp_path)
    assert store.load_results() == [again]


def test_two_senders_of_a_result_to_a_server_leave_one_run(
    tmp_path: Path, new_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one sends while the first one writes."""
    store = open_server(tmp_path, new_store, monkeypatch)
    result = make_result(0, "m")
    write_run = store_module.write_run

    def write_late(*arguments: Any) -> None:
        monkeypatch.setattr(store_module, "write_run", write_run)
        assert store.log_result(result, tmp_path)
        write_run(*arguments)

    monkeypatch.setattr(store_module, "write_run", write_late)
    assert store.log_result(result, tmp_path)
    assert len(list_runs(store)) == 1
    assert not store.log_result(result, tmp_path)


def test_what_another_command_is_writing_to_a_server_is_not_deleted(
    tmp_path: Path, new_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_server(tmp_path, new_store, monkeypatch)
    result = make_result(0, "m")
    fill = writing.fill_run

    def fill_late(*arguments: Any) -> None:
        monkeypatch.setattr(writing, "fill_run", fill)
        assert store.log_result(result, tmp_path)
        fill(*arguments)  # into a run that is still there

    monkeypatch.setattr(writing, "fill_run", fill_late)
    assert store.log_result(result, tmp_path)
    (run,) = list_runs(store)
    assert run.info.status == "FINISHED"


def test_commands_that_write_the_same_phantoms_write_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write_patient = files.write_patient

    def note_and_write(*arguments: object) -> None:
        written.append(arguments[-1])
        write_patient(*arguments)

    monkeypatch.setattr(files, "write_patient", note_and_write)
    roots = [tmp_path / "brats"] * 3
    barrier = Barrier(3)

    def write_one(root: Path) -> None:
        barrier.wait()
        write_phantoms("brats", root, 3, shape=(16, 16, 16))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write_one, roots))
    assert sorted(written) == [0, 1, 2]
    assert not (tmp_path / "brats" / write.LOCK).exists()


def test_phantoms_in_a_folder_that_is_closed_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_phantoms("brats", tmp_path / "brats", 2, shape=(16, 16, 16))

    def refuse(file: Path) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(write, "hold_lock", refuse)
    write_phantoms("brats", tmp_path / "brats", 2, shape=(16, 16, 16))


def test_weights_and_their_card_are_of_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second command comes when the first has written its weights, and not yet the card."""
    file = tmp_path / "own.safetensors"
    backbones = [build_backbone("tiny_vit", 3, (32, 32), "none") for _ in range(2)]
    hash_file = train.file_sha256
    others = []

    def hash_late(path: Path) -> str:
        monkeypatch.setattr(train, "file_sha256", hash_file)
        other = threading.Thread(
            target=train.write_weights, args=(file, backbones[1], Recipe(), {})
        )
        other.start()
        other.join(0.5)
        others.append(other)
        return hash_file(path)

    monkeypatch.setattr(train, "file_sha256", hash_late)
    first = train.write_weights(file, backbones[0], Recipe(), {})
    others[0].join()
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == file_sha256(file) != first
