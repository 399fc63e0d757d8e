"""`bench sync`: an empty store, a lost run, a store that was moved or fails on the way."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli.app import main
from bench.tracking.connection import TrackingError, repair_moved
from bench.tracking.publishing import Tracker, sync
from bench.tracking.store import Store, open_store
from reports.records.study import StudyRecord, TrialRecord
from tests.bench.tracking.made_runs import NewStore, make_result, runs_of, write_runs


def report(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["report", "--format", "markdown"]) == 0
    return capsys.readouterr().out


def test_sync_restores_the_table_in_an_empty_store(
    new_store: NewStore,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_runs(out, make_result("linear"), make_result("lora"), make_result("full"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "first"))
    assert main(["sync", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert all(f"sent {make_result(name).run_id}" in printed for name in ("linear", "lora", "full"))
    assert "sent 3 of 3 results" in printed
    before = report(capsys)
    assert "| LoRA | " in before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "second"))
    assert main(["sync", "--out", str(out)]) == 0
    capsys.readouterr()
    assert report(capsys) == before
    assert main(["sync", "--out", str(out)]) == 0
    assert "sent 0 of 3 results" in capsys.readouterr().out


def test_sync_restores_the_studies_and_their_trials(
    new_store: NewStore,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where nothing but tuning was done; a study that cannot be read is reported."""
    trials = [
        TrialRecord(number, "done", {"train.lr": 0.1}, 0.5 + number / 10, 20, 1.5)
        for number in range(2)
    ]
    study = StudyRecord(
        "lora-brats", "lora", "brats", "tiny_vit", "none", 0, 0, True, "abc", {"trials": 2}, {},
        tuple(trials),
    )  # fmt: skip
    study.write(out / "tuning" / study.name)
    (out / "tuning" / "broken").mkdir()
    (out / "tuning" / "broken" / "study.json").write_text("{}")
    for name in ("first", "second"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / name))
        assert main(["sync", "--out", str(out)]) == 1
        printed = capsys.readouterr().out
        assert "sent study lora-brats" in printed
        assert "broken/study.json: must be a study of this version" in printed
        shown = runs_of(open_store(), "tuning/lora-brats")
        title = "LoRA, BraTS, fold 0, Tiny ViT/8, random initialisation"
        assert set(shown) == {title, "trial 0", "trial 1"}
        parent = shown[title]
        assert parent.data.tags["medtuning.study"] == "lora-brats"
        assert parent.data.metrics["dice/tuned"] == pytest.approx(0.6)
        assert shown["trial 1"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert main(["sync", "--out", str(out)]) == 1
    assert "sent study" not in capsys.readouterr().out


def test_sync_sends_again_what_the_store_has_lost_or_what_has_changed(
    store: Store, out: Path
) -> None:
    linear, lora = make_result("linear"), make_result("lora")
    write_runs(out, linear, lora)
    sync(store, out)
    run = next(run for name, run in runs_of(store).items() if name.startswith("LoRA"))
    Path(run.info.artifact_uri.removeprefix("file://"), "result.json").unlink()
    with pytest.raises(
        TrackingError, match=r"'LoRA, .*' must have its result\.json, found none in .*bench sync"
    ):
        store.load_results()
    write_runs(out, replace(linear, best_epoch=1), lora)
    assert sync(store, out).sent == (linear.run_id, lora.run_id)
    assert {(result.method, result.best_epoch) for result in store.load_results()} == {
        ("linear", 1),
        ("lora", 0),
    }


def test_a_store_that_was_moved_is_repaired(
    new_store: NewStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, there = tmp_path / "here #1", tmp_path / "there"
    write_runs(here / "results", make_result("linear"))
    store = open_store(new_store(here))
    sync(store, here / "results")
    shutil.copytree(here, there)  # a copy, because this process still has the old file open
    shutil.rmtree(here)
    uri = f"sqlite:///{there}/mlflow.db"
    with pytest.raises(TrackingError, match="found none in"):
        open_store(uri).load_results()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["sync", "--out", str(there / "results")]) == 0
    printed = capsys.readouterr().out
    assert "the store was moved: the files of brats are looked for beside it" in printed
    assert "sent 0 of 1 results" in printed  # nothing was lost
    assert [result.method for result in open_store(uri).load_results()] == ["linear"]
    assert str(there) in runs_of(open_store(uri))["run --methods linear,lora"].info.artifact_uri
    assert repair_moved(uri) == []


@pytest.mark.parametrize("arguments", [[], ["--out", "elsewhere"]])
def test_nothing_to_send_is_one_sentence(
    new_store: NewStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    assert main(["sync", *arguments]) == 2
    assert "error: sync: " in capsys.readouterr().err


def test_a_store_that_fails_on_the_way_is_said_once_and_let_be(
    new_store: NewStore, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    linear, lora = make_result("linear"), make_result("lora")
    write_runs(out, linear, lora)
    console = Console(record=True, width=500)
    tracker = Tracker(out, console=console)
    assert tracker.store is not None

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracker.store.client, "log_artifacts", fail)
    for result in (linear, lora):
        tracker.send(result, out / "runs" / result.run_id)
    tracker.finish()
    said = console.export_text().strip()
    assert len(said.splitlines()) == 1
    assert "No space left on device" in said
    assert "`python -m bench sync` sends them later" in said
