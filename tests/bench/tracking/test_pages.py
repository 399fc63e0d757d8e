"""What MLflow shows of an experiment, of a run's data and of its logged model."""

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.tracking import browsing
from bench.tracking.entities.experiments import (
    ALWAYS,
    KIND,
    KIND_TAG,
    VIEW_TAG,
    build_view,
    encode_view,
)
from bench.tracking.entry import NOTE_TAG
from bench.tracking.store import Store, open_store
from reports.records.run import RunResult, Status
from tests.bench.tracking.made_runs import make_result

LEADERBOARD = "metrics.`dice/mean` > 0.3 AND params.method = 'lora'"


@pytest.fixture
def store(new_store: Callable[[Path], str], tmp_path: Path) -> Store:
    return open_store(new_store(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "delta.safetensors").write_bytes(b"delta")
    return folder


def search_models(store: Store, query: str = "", dataset: str = "brats") -> list[Any]:
    experiment = store.client.get_experiment_by_name(dataset)
    order = [{"field_name": "metrics.dice/mean", "ascending": False}]
    return store.client.search_logged_models([experiment.experiment_id], query, order_by=order)


def decode_view(tag: str) -> dict[str, Any]:
    head, packed = tag.split(";")
    assert head == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def with_dice(result: RunResult, dice: float) -> RunResult:
    cases = tuple(replace(row, dice=dice) for row in result.cases)
    return replace(result, cases=cases, run_id=f"{result.run_id}-{dice}")


def test_an_experiment_has_a_kind_a_description_and_a_view(store: Store, folder: Path) -> None:
    store.log_result(make_result("lora"), folder)
    experiment = store.client.get_experiment_by_name("brats")
    assert experiment.tags[KIND_TAG] == KIND
    assert "search_logged_models" in experiment.tags[NOTE_TAG]
    view = decode_view(experiment.tags[VIEW_TAG])
    assert view["orderByKey"] == "metrics.`dice/mean`"
    assert "metrics.`dice/WT`" in view["selectedColumns"]
    assert view["columnOrder"] == [*ALWAYS, *view["selectedColumns"]]
    assert set(view["columnWidths"]) == set(view["columnOrder"])
    assert view["runsPinned"] == []  # mlflow 3.7 does not fill in what a view lacks
    assert view["runsExpanded"] == {}


def test_the_description_has_a_search_that_finds_the_best_run_of_a_method(
    store: Store, folder: Path, use_mlflow: Callable[[str], ModuleType]
) -> None:
    for dice in (0.4, 0.8):
        store.log_result(with_dice(make_result("lora"), dice), folder)
    store.log_result(with_dice(make_result("linear"), 0.9), folder)
    note = store.client.get_experiment_by_name("brats").tags[NOTE_TAG]
    (code,) = re.findall(r"`(mlflow\..*?)`\.$", note)
    found = eval(code, {"mlflow": use_mlflow(store.uri)})  # what a reader would paste
    assert list(found["tags"].map(lambda tags: tags["run_id"])) == [
        with_dice(make_result("lora"), dice).run_id for dice in (0.8, 0.4)
    ]


def test_what_a_user_wrote_on_the_page_is_kept(store: Store, folder: Path) -> None:
    place = store.find_experiment("brats")
    store.client.set_experiment_tag(place, NOTE_TAG, "mine")
    store.log_result(make_result("lora"), folder)
    assert store.client.get_experiment(place).tags[NOTE_TAG] == "mine"


def test_a_view_fits_into_a_tag() -> None:
    assert len(encode_view(build_view([f"region {i}" for i in range(30)]))) < 5000


def test_addresses_of_the_views(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert browsing.list_addresses() == []
    store = open_store()
    store.log_result(make_result("lora"), folder)
    place = store.find_experiment("brats")
    expected = (
        f"http://127.0.0.1:5000/#/experiments/{place}/runs"
        "?workflowType=machine_learning&viewStateShareKey=medtuning"
    )
    assert browsing.list_addresses() == [expected]
    assert browsing.list_addresses(["kits19"]) == []


def test_the_best_model_of_a_method_is_found_with_its_delta(
    store: Store, folder: Path, use_mlflow: Callable[[str], ModuleType]
) -> None:
    for dice in (0.4, 0.8, 0.2):
        store.log_result(with_dice(make_result("lora"), dice), folder)
    store.log_result(with_dice(make_result("linear"), 0.9), folder)
    found = search_models(store, LEADERBOARD)
    values = [{each.key: each.value for each in model.metrics}["dice/mean"] for model in found]
    assert values == pytest.approx([0.8, 0.4])
    best = found[0]
    assert best.status == "READY"
    assert best.params["method"] == "lora"
    mlflow = use_mlflow(store.uri)
    place = Path(mlflow.artifacts.download_artifacts(f"models:/{best.model_id}"))
    assert (place / "delta.safetensors").read_bytes() == b"delta"


def test_the_numbers_of_a_model_name_its_run_and_its_held_out_cases(
    store: Store, folder: Path
) -> None:
    store.log_result(make_result("lora", data_fingerprint="f1", split_hash="s1"), folder)
    (model,) = search_models(store)
    run = store.client.get_run(model.source_run_id)
    used = {
        tag.value: item.dataset
        for item in run.inputs.dataset_inputs
        for tag in item.tags
        if tag.key == "mlflow.data.context"
    }
    assert set(used) == {"training", "testing"}
    assert json.loads(used["testing"].source)["fingerprint"] == "f1"
    assert json.loads(used["testing"].source)["split"] == "s1"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    numbers = {each.key: each for each in model.metrics}
    assert numbers["dice/mean"].dataset_digest == used["testing"].digest
    assert not any(key.startswith("train/") for key in numbers)


def test_a_run_that_is_not_done_has_no_model(store: Store, folder: Path) -> None:
    store.log_result(make_result("lora", status=Status.FAILED, reason="broken"), folder)
    assert search_models(store) == []


@pytest.mark.parametrize("step", ["log_outputs", "log_model_artifact", "finalize_logged_model"])
def test_a_run_that_was_cut_off_at_its_model_has_one_afterwards(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.client, step, stop)
        with pytest.raises(KeyboardInterrupt):
            store.log_result(make_result("lora"), folder)
    store.log_result(make_result("lora"), folder)
    store.log_result(make_result("lora"), folder)
    (model,) = search_models(store)
    assert model.status == "READY"
