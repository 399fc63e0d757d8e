"""Two runs get into one table only if their protocols are equal; a field that is not is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.specs.protocol import Protocol
from bench.specs.run import MethodSpec, RunSpec, digest
from bench.tracking.publishing import Tracker
from bench.tracking.store import open_store
from reports.analysis.comparison import compare_methods
from reports.records.plain import flatten
from reports.records.run import CaseScore, RunResult, Status

SPEC = RunSpec(MethodSpec("linear"), "brats", "abc", 0, 0, Protocol(), Path())
RECORD = json.loads(json.dumps(SPEC.protocol_record()))  # as it comes back from a file
FIELDS = sorted(flatten(RECORD))
# Few-shot runs, and those of each decoder and budget of tuning, have tables of their own.
OWN_TABLE = ("data.shots", "model.decoder", "tune.trials", "tune.budget_s")


def make_result(method, protocol=RECORD):
    return RunResult(
        run_id=f"run-{method}",
        status=Status.DONE,
        reason="",
        method=method,
        settings={},
        label=method,
        dataset="brats",
        backbone="tiny_vit",
        weights="none",
        fold=0,
        seed=0,
        protocol_id=SPEC.protocol_id,
        protocol=protocol,
        synthetic=True,
        regions=("WT",),
        cases=(CaseScore("p1", "WT", 0.8, 2.0, 100, 90), CaseScore("p2", "WT", 0.6, 3.0, 80, 90)),
    )


def edit(key):
    """Return the protocol with another value in one field, its hash left as it was."""
    record = json.loads(json.dumps(RECORD))
    section, _, name = key.rpartition(".")
    part = record[section] if section else record
    part[name] = 7 if isinstance(part[name], int | float) else "edited"
    assert flatten(record)[key] != flatten(RECORD)[key]
    return record


def test_every_section_of_the_protocol_is_looked_at():
    assert {key.partition(".")[0] for key in FIELDS} == {
        "data",
        "model",
        "train",
        "eval",
        "tune",
        "dataset",
        "version",
    }
    assert len(FIELDS) > 35
    assert len(compare_methods([make_result("linear"), make_result("full")])) == 1


@pytest.mark.parametrize("key", [key for key in FIELDS if key not in OWN_TABLE])
def test_editing_a_field_of_one_run_is_refused_by_its_name(key):
    with pytest.raises(
        ValueError, match=rf"must have one protocol, got 2 .* differ in {key} \(.*--allow-mixed"
    ):
        compare_methods([make_result("linear"), make_result("full", edit(key))])


@pytest.mark.parametrize("key", OWN_TABLE)
def test_few_shot_and_tuned_runs_and_decoders_have_their_own_table(key):
    assert len(compare_methods([make_result("linear"), make_result("full", edit(key))])) == 2


@pytest.mark.parametrize("key", FIELDS)
def test_every_field_changes_the_hash(key):
    assert digest(RECORD) == SPEC.protocol_id
    assert digest(edit(key)) != SPEC.protocol_id


def test_the_report_refuses_with_one_sentence(database, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    tracker = Tracker(tmp_path, open_store())
    tracker.send(make_result("linear"), tmp_path)
    tracker.send(make_result("full"), tmp_path)
    assert main(["report"]) == 0
    tracker.send(replace(make_result("full"), protocol=edit("train.lr")), tmp_path)
    assert main(["report"]) == 2
    printed = capsys.readouterr().err
    assert "that differ in train.lr (" in printed
    assert len(printed.strip().splitlines()) == 1
