"""From run folders to MLflow: parent runs, and what a command leaves in the store."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.groups import begin_group, read_group
from bench.tracking.publishing import Tracker, sync
from bench.tracking.store import Store
from reports.records.run import Status
from tests.bench.tracking.made_runs import COMMAND, make_result, runs_of, write_runs


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
