"""The ends of the searched ranges, from the study to the table of the tuned runs."""

import json
from dataclasses import replace

from optuna.storages import InMemoryStorage

from bench.specs.protocol import Protocol, override
from bench.tuning.campaign import build_record
from bench.tuning.plan import plan_studies
from bench.tuning.space import build_space
from bench.tuning.study import open_study
from bench.tuning.tuned_values import apply_tuned, best_values, read_toml, write_toml
from bench.tuning.worker import tune
from methods import build
from reports.records.run import Status
from reports.records.study import read_study
from reports.tables.kinds.tuning import tuning_tables

PROTOCOL = Protocol()
ONLY = ["train.lr", "lora.rank"]


def run_study(make_run, tmp_path, *searches):
    """Return the record of a study in which a larger rate is always better, and rank 8 best."""
    run = make_run("lora")
    run = replace(run, protocol=override(run.protocol, "tune.trials=30"))
    (plan,) = plan_studies([run], tmp_path, searches, only=ONLY)
    study = open_study(InMemoryStorage(), plan)

    def evaluate(trial, report):
        dice = 0.5 + trial.values["train.lr"] - abs(trial.values["method.rank"] - 8) / 100
        return replace(trial, status=Status.DONE, dice=dice, fit_s=1.0)

    tune(study, plan, evaluate)
    return run, build_record(plan, study)


def test_a_best_value_at_an_end_is_marked_in_the_record_the_table_and_the_tuned_runs(
    make_run, tmp_path
):
    run, record = run_study(make_run, tmp_path, "train.lr=1e-3,1e-2,1e-1")
    record.write(tmp_path)
    record = read_study(tmp_path / "study.json")
    assert record.edges == {"train.lr": "upper"}
    (table,) = tuning_tables([record])
    chosen = {column.key: column.cells[0].text for column in table.columns}["values"]
    assert "train.lr=0.1 (edge)" in chosen
    assert "(edge): at an end of what was searched" in " ".join(table.caption)
    (note,) = [each for each in table.notes if "end of" in each]
    assert "LoRA: train.lr=0.1 is at the upper end of 0.001,0.01,0.1" in note
    write_toml(tmp_path / "tuned.toml", [best_values(record)])
    (tuned,) = apply_tuned([run], read_toml(tmp_path / "tuned.toml"))
    assert tuned.edges == ("train.lr",)
    assert tuned.run_id == replace(tuned, edges=()).run_id


def test_a_best_value_inside_its_range_is_not_marked(make_run, tmp_path):
    _, record = run_study(make_run, tmp_path, "train.lr=1e-2,1e-2")
    assert record.edges == {}
    (table,) = tuning_tables([record])
    assert "edge" not in json.dumps([table.caption, table.notes])


def test_an_end_that_the_setting_cannot_exceed_is_known():
    space = {each.key: each for each in build_space(build("adaptformer"), PROTOCOL)}
    assert space["train.warmup_frac"].low_is_limit
    assert not space["train.warmup_frac"].high_is_limit
    assert space["method.dropout"].low_is_limit
    assert not space["method.dropout"].high_is_limit
    lr, bottleneck = space["train.lr"], space["method.bottleneck"]
    ends = (lr.low_is_limit, lr.high_is_limit, bottleneck.low_is_limit, bottleneck.high_is_limit)
    assert ends == (False,) * 4
    (wide,) = build_space(build("lora"), PROTOCOL, ["lora.rank=1..64"], ["lora.rank"])
    assert (wide.low_is_limit, wide.high_is_limit) == (True, False)
