"""The way of a result into an MLflow store and back."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.tracking.connection import TrackingError
from bench.tracking.store import Store, open_store
from reports.records.run import CaseScore, EpochRecord, RunResult, Status
from tests.bench.tracking.made_result import CASES, DONE

OVERLAY = b"not really a picture"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all tests, as making its tables takes seconds; each has its own data set."""
    return open_store(f"sqlite:///{tmp_path_factory.mktemp('a folder')}/mlflow.db")


@pytest.fixture
def result(request: pytest.FixtureRequest) -> RunResult:
    return replace(DONE, dataset=f"brats-{request.node.name.replace('[', '-').strip(']')}")


def find_runs(store: Store, dataset: str) -> list[Any]:
    experiment = store.client.get_experiment_by_name(dataset)
    return list(store.client.search_runs([experiment.experiment_id]))


def artifact(store: Store, run: Any, name: str, tmp_path: Path) -> Path:
    return Path(store.client.download_artifacts(run.info.run_id, name, str(tmp_path)))


def test_a_run_shows_what_a_reader_looks_for(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    (tmp_path / "overlay.png").write_bytes(OVERLAY)
    store.log_result(result, tmp_path)
    (run,) = find_runs(store, result.dataset)
    assert run.info.run_name == "lora r=8, fold 0, seed 0, Tiny ViT/8, random initialisation"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 15_000
    wanted = {
        "run_id": DONE.run_id,
        "status": "done",
        "method": "lora",
        "dataset": result.dataset,
        "backbone": "tiny_vit",
        "weights": "none",
        "fold": "0",
        "seed": "0",
        "protocol_id": "abc123",
        "synthetic": "true",
        "git_commit": "0123abc",
    }
    assert {name: run.data.tags.get(name) for name in wanted} == wanted
    assert "SYNTHETIC" in run.data.tags["mlflow.note.content"]
    assert run.data.params == {
        "data.patch": "[16, 64, 64]",
        "train.lr": "0.001",
        "train.optimizer": "adamw",
        "version": "1",
        "method.name": "lora",
        "method.rank": "8",
        "method.alpha": "16.0",
    }


def test_headline_numbers_and_curves(store: Store, result: RunResult, tmp_path: Path) -> None:
    store.log_result(result, tmp_path)
    (run,) = find_runs(store, result.dataset)
    headline = {
        name: value
        for name, value in run.data.metrics.items()
        if not name.startswith(("train/", "val/"))
    }
    assert headline == pytest.approx(
        {
            "dice/WT": 0.7,
            "dice/ET": 0.25,
            "dice/mean": 0.475,
            "hd95_mm/WT": 4.0,
            "hd95_mm/ET": 4.0,  # the mean of what is defined
            "hd95_mm/mean": 4.0,
            "params/tuned": 20,
            "params/other": 0,
            "params/tuned_frac": 0.02,
            "params/tuned_with_decoder": 320,
            "params/tuned_with_decoder_frac": 320 / 1300,  # of backbone and decoder
            "params/total": 1000,
            "params/total_frac": 1000 / 1300,
            "time/fit_s": 12.5,
            "memory/peak_mib": 512.0,
            "best_epoch": 3,
            "best_val_dice": 0.3,
        }
    )
    curve = store.client.get_metric_history(run.info.run_id, "val/dice")
    assert [(point.step, point.value) for point in curve] == [
        (1, pytest.approx(0.1)),
        (3, pytest.approx(0.3)),
    ]
    assert len(store.client.get_metric_history(run.info.run_id, "train/loss")) == 4
    assert len(store.client.get_metric_history(run.info.run_id, "train/lr")) == 4


def test_numbers_that_are_none_or_no_number_are_left_out(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    curve = (EpochRecord(0, math.nan, 1e-3, None),)
    cases = (CaseScore("p1", "WT", 0.0, math.nan, 0, 5),)
    store.log_result(
        replace(result, curve=curve, cases=cases, best_epoch=None, cost=None), tmp_path
    )
    (run,) = find_runs(store, result.dataset)
    assert run.data.metrics == {"dice/WT": 0.0, "dice/mean": 0.0, "train/lr": 1e-3}


def test_a_long_curve_goes_in_batches(store: Store, result: RunResult, tmp_path: Path) -> None:
    curve = tuple(EpochRecord(epoch, 0.5, 1e-3, 0.5) for epoch in range(700))
    store.log_result(replace(result, curve=curve), tmp_path)
    (run,) = find_runs(store, result.dataset)
    assert [p.step for p in store.client.get_metric_history(run.info.run_id, "val/dice")] == list(
        range(700)
    )


def test_files(store: Store, result: RunResult, tmp_path: Path) -> None:
    (tmp_path / "overlay.png").write_bytes(OVERLAY)
    store.log_result(result, tmp_path)
    (run,) = find_runs(store, result.dataset)
    names = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert names == {"result.json", "per_case.json", "overlay.png"}
    assert artifact(store, run, "overlay.png", tmp_path).read_bytes() == OVERLAY
    table = json.loads(artifact(store, run, "per_case.json", tmp_path).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["case"], row["region"], row["dice"]) for row in rows] == [
        (row.case, row.region, row.dice) for row in CASES
    ]
    assert rows[-1]["hd95_mm"] is None  # nan is no JSON
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "per_case.json", "type": "table"}
    ]
    database = Path(store.uri.removeprefix("sqlite:///"))
    assert len(list((database.parent / "mlruns").glob("*/*/artifacts/result.json"))) >= 1


def test_results_come_back_as_they_went(store: Store, result: RunResult, tmp_path: Path) -> None:
    second = replace(
        result, run_id="second", provenance={"started_at": "2025-06-01T12:00:01+00:00"}
    )
    store.log_result(second, tmp_path)
    store.log_result(result, tmp_path)
    first_back, second_back = store.load_results(result.dataset)
    assert (first_back.run_id, second_back.run_id) == (
        result.run_id,
        "second",
    )  # in the order of their start
    assert repr(first_back) == repr(result)  # nan is not equal to itself
    assert {item.run_id for item in store.load_results()} >= {result.run_id, "second"}
    assert store.load_results("no such data set") == []


@pytest.mark.parametrize(
    ("status", "mlflow_status"),
    [(Status.FAILED, "FAILED"), (Status.DIVERGED, "FAILED"), (Status.SKIPPED, "KILLED")],
)
def test_runs_without_numbers(
    store: Store, result: RunResult, tmp_path: Path, status: Status, mlflow_status: str
) -> None:
    ended = replace(
        result, status=status, reason="it rained", cases=(), curve=(), cost=None, best_epoch=None
    )
    store.log_result(ended, tmp_path)
    (run,) = find_runs(store, result.dataset)
    assert run.info.status == mlflow_status
    assert run.data.tags["reason"] == "it rained"
    assert f"{status}: it rained" in run.data.tags["mlflow.note.content"]
    assert store.load_results(result.dataset) == [ended]


def test_the_same_result_twice_is_one_run_untouched(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    store.log_result(result, tmp_path)
    (before,) = find_runs(store, result.dataset)
    store.log_result(result, tmp_path)
    reread = RunResult.from_json(
        result.write(tmp_path).read_text()
    )  # lists where the original had tuples
    store.log_result(reread, tmp_path)
    (after,) = find_runs(store, result.dataset)
    assert after.info.run_id == before.info.run_id


def test_a_new_result_of_a_run_replaces_the_old_one(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    failed = replace(result, status=Status.FAILED, reason="out of memory", cases=())
    for version in (failed, result, replace(result, best_epoch=2)):
        store.log_result(version, tmp_path)
        (run,) = find_runs(store, result.dataset)
        (back,) = store.load_results(result.dataset)
        assert (back.status, back.best_epoch) == (version.status, version.best_epoch)
        assert run.data.tags["status"] == version.status


@pytest.mark.parametrize("step", ["log_batch", "log_artifacts", "set_terminated"])
def test_a_run_that_was_cut_off_is_replaced(
    store: Store, result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.client, step, stop)
        with pytest.raises(KeyboardInterrupt):
            store.log_result(result, tmp_path)
    assert [run.info.status for run in find_runs(store, result.dataset)] == ["RUNNING"]
    assert store.load_results(result.dataset) == []
    store.log_result(result, tmp_path)
    assert [run.info.status for run in find_runs(store, result.dataset)] == ["FINISHED"]
    assert len(store.load_results(result.dataset)) == 1


def test_runs_of_others_in_the_same_experiment_are_let_be(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    store.log_result(result, tmp_path)
    (ours,) = find_runs(store, result.dataset)
    theirs = store.client.create_run(ours.info.experiment_id)
    store.client.set_terminated(theirs.info.run_id)
    assert len(store.load_results(result.dataset)) == 1
    store.log_result(replace(result, best_epoch=0), tmp_path)
    assert theirs.info.run_id in {run.info.run_id for run in find_runs(store, result.dataset)}


def test_a_deleted_experiment_is_one_sentence(
    store: Store, result: RunResult, tmp_path: Path
) -> None:
    store.log_result(result, tmp_path)
    experiment = store.client.get_experiment_by_name(result.dataset)
    store.client.delete_experiment(experiment.experiment_id)
    with pytest.raises(
        TrackingError, match=f"'{result.dataset}' must not be deleted.*mlflow experiments restore"
    ):
        store.log_result(result, tmp_path)
    assert store.load_results(result.dataset) == []
