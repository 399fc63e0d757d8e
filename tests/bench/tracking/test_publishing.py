"""From run folders to MLflow and back: parent runs, `bench sync`, stores lost or moved."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.cli.app import main
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.connection import TrackingError, repair_moved
from bench.tracking.groups import Group, begin_group, read_group
from bench.tracking.publishing import Tracker, sync
from bench.tracking.store import Store, open_store
from reports.records.cost import Cost
from reports.records.run import CaseScore, EpochRecord, RunResult, Status
from reports.records.study import StudyRecord, TrialRecord

COMMAND = "python -m bench run --methods linear,lora"
NewStore = Callable[[Path], str]


def make_result(method: str, dataset: str = "brats", **changes: Any) -> RunResult:
    spec = RunSpec(MethodSpec(method), dataset, "f00", 0, 0, Protocol(), Path("/data"))
    score = 0.5 + len(method) / 100
    result = RunResult(
        run_id=spec.run_id, status=Status.DONE, reason="", method=method, settings={},
        label=method, dataset=dataset, backbone="tiny_vit", weights="none", fold=0, seed=0,
        protocol_id=spec.protocol_id, protocol=spec.protocol_record(), synthetic=True,
        regions=("WT",), cases=(
            CaseScore("p1", "WT", score, 2.0, 10, 9), CaseScore("p2", "WT", score / 2, 4.0, 10, 9),
        ),
        curve=(EpochRecord(0, 0.5, 1e-3, 0.6), EpochRecord(1, 0.4, 1e-3, 0.55)), best_epoch=0,
        cost=Cost(1000, 20, 300, 0.02, 12.5, 2.5, 512.0),
        provenance={"started_at": f"2025-06-01T12:00:{len(method):02}+00:00"},
    )  # fmt: skip
    return replace(result, **changes)


def write_runs(out: Path, *results: RunResult, command: str = COMMAND) -> Group:
    """Leave behind what `run` leaves: the record of the command, and results that name it."""
    specs = [
        RunSpec(MethodSpec(r.method), r.dataset, "f00", r.fold, r.seed, Protocol(), Path("/data"))
        for r in results
    ]
    group = begin_group(specs, command, out)
    for result in results:
        replace(result, group=group.id).write(out / "runs" / result.run_id)
    return group


def runs_of(store: Store, dataset: str = "brats") -> dict[str, Any]:
    experiment = store.client.get_experiment_by_name(dataset)
    return {run.info.run_name: run for run in store.client.search_runs([experiment.experiment_id])}


@pytest.fixture
def store(new_store: NewStore, tmp_path: Path) -> Store:
    return open_store(new_store(tmp_path / "store"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_the_runs_of_a_command_are_under_one_parent_with_its_table(
    store: Store, out: Path, tmp_path: Path
) -> None:
    write_runs(out, make_result("linear"), make_result("lora"))
    assert sync(store, out).sent == (make_result("linear").run_id, make_result("lora").run_id)
    runs = runs_of(store)
    parent = runs.pop("run --methods linear,lora")
    assert len(runs) == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["command"] == COMMAND
    assert {key: value for key, value in parent.data.metrics.items() if value} == {"runs/done": 2}
    table = Path(
        store.client.download_artifacts(parent.info.run_id, "summary.md", str(tmp_path))
    ).read_text()
    assert "| Linear probing | " in table
    assert "| LoRA | " in table
    caption, rows = table.strip().split("\n\n", 1)
    note = parent.data.tags["mlflow.note.content"]
    assert 0 < note.index(rows) < note.index(caption)  # the UI folds up what comes late
    assert "SYNTHETIC" in caption


def test_a_parent_is_no_result(store: Store, out: Path) -> None:
    write_runs(out, make_result("linear"), make_result("lora"))
    sync(store, out)
    assert [result.method for result in store.load_results()] == ["lora", "linear"]


def test_doing_it_again_changes_nothing(store: Store, out: Path) -> None:
    write_runs(out, make_result("linear"), make_result("lora"))
    sync(store, out)
    before = {
        name: (run.info.run_id, run.data.tags, run.data.metrics)
        for name, run in runs_of(store).items()
    }
    write_runs(out, make_result("linear"), make_result("lora"))
    tally = sync(store, out)
    assert (tally.sent, tally.n_results, tally.problems) == ((), 2, ())
    assert {
        name: (run.info.run_id, run.data.tags, run.data.metrics)
        for name, run in runs_of(store).items()
    } == before


def test_another_command_adds_a_parent_and_takes_nothing_away(store: Store, out: Path) -> None:
    write_runs(out, make_result("linear"), make_result("lora"))
    sync(store, out)
    more = "python -m bench run --methods all"
    lora, full = make_result("lora"), make_result("full")
    specs = [
        RunSpec(MethodSpec(r.method), "brats", "f00", 0, 0, Protocol(), Path("/data"))
        for r in (lora, full)
    ]
    group = begin_group(specs, more, out)
    replace(full, group=group.id).write(out / "runs" / full.run_id)  # lora was done already
    sync(store, out)
    runs = runs_of(store)
    first, second = runs["run --methods linear,lora"], runs["run --methods all"]
    children = {
        run.data.tags.get("method", "run"): run.data.tags.get("mlflow.parentRunId")
        for run in runs.values()
    }
    assert children == {
        "run": None,
        "linear": first.info.run_id,
        "lora": first.info.run_id,
        "full": second.info.run_id,
    }
    assert second.info.status == "FINISHED"
    assert all(
        f"| {name} | " in second.data.tags["mlflow.note.content"]
        for name in ("LoRA", "Full fine-tuning")
    )


def test_a_command_over_two_data_sets_has_a_parent_in_each(store: Store, out: Path) -> None:
    write_runs(out, make_result("linear"), make_result("linear", "kits"))
    sync(store, out)
    for dataset in ("brats", "kits"):
        runs = runs_of(store, dataset)
        assert len(runs) == 2
        assert runs["run --methods linear,lora"].data.metrics["runs/done"] == 1


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({"status": Status.FAILED, "reason": "rain"}, "FAILED"),
        ({"status": Status.SKIPPED, "reason": "no"}, "FINISHED"),
    ],
)
def test_the_parent_says_how_the_command_stands(
    store: Store, out: Path, second: dict[str, Any], status: str
) -> None:
    linear, lora = make_result("linear"), make_result("lora")
    write_runs(out, linear, replace(lora, cases=(), cost=None, **second))
    lora_file = out / "runs" / lora.run_id / "result.json"
    text = lora_file.read_text()
    lora_file.unlink()  # cut off before the second run ended
    sync(store, out)
    assert runs_of(store)["run --methods linear,lora"].info.status == "KILLED"
    lora_file.write_text(text)
    sync(store, out)
    parent = runs_of(store)["run --methods linear,lora"]
    assert parent.info.status == status
    assert parent.data.metrics[f"runs/{second['status']}"] == 1


def test_groups_depend_on_the_runs_alone(tmp_path: Path) -> None:
    specs = [
        RunSpec(MethodSpec(name), "brats", "f00", 0, 0, Protocol(), Path("/data"))
        for name in ("lora", "linear")
    ]
    first = begin_group(specs, "first", tmp_path)
    again = begin_group(specs[::-1], "again, with --jobs 4", tmp_path)
    assert (again.id, again.started_at) == (first.id, first.started_at)
    assert begin_group(specs[:1], "less", tmp_path).id != first.id
    assert read_group(tmp_path, first.id) == again
    assert read_group(tmp_path, "run-none") is None


def test_results_without_a_command_and_of_other_versions_are_said(store: Store, out: Path) -> None:
    group = write_runs(out, make_result("linear"), make_result("lora"))
    (out / "commands" / f"{group.id}.json").unlink()
    old, broken = out / "runs" / "old", out / "runs" / "broken"
    make_result("full").write(old)
    make_result("full").write(broken)
    (old / "result.json").write_text(
        (old / "result.json").read_text().replace('"schema_version": 2', '"schema_version": 1')
    )
    (broken / "result.json").write_text("{")
    tally = sync(store, out)
    assert len(tally.sent) == 2
    assert tally.n_results == 4
    assert len(tally.problems) == 3
    assert all(len(problem.splitlines()) == 1 for problem in tally.problems)
    assert str(broken / "result.json") in tally.problems[0]
    assert "schema version must be 2, got 1" in tally.problems[1]
    assert f"must hold {group.id}.json, got none" in tally.problems[2]


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


def test_tuning_trials_are_apart_and_are_no_results(store: Store, tmp_path: Path) -> None:
    trial, place = make_result("lora"), "tuning/lora-brats"
    store.log_result(replace(trial, dataset=place), tmp_path)
    assert set(runs_of(store, place)) == {"LoRA, fold 0, seed 0, Tiny ViT/8, random initialisation"}
    assert store.load_results() == []
    assert Tracker(tmp_path, store).send(trial, tmp_path)  # the same run as a result is another one
    assert len(store.load_results()) == 1


def test_the_record_of_a_command_is_plain_json(tmp_path: Path) -> None:
    group = write_runs(tmp_path, make_result("linear"))
    record = json.loads((tmp_path / "commands" / f"{group.id}.json").read_text())
    assert record["command"] == COMMAND
    assert record["runs"] == {"brats": [make_result("linear").run_id]}
