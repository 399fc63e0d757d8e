"""From what a study has found to the runs that use it."""

from dataclasses import asdict, replace
from math import nan
from pathlib import Path

import pytest

from bench.specs.protocol import Protocol, SpecError, TuneSpec, override
from bench.specs.run import MethodSpec, RunSpec
from bench.tracking.store import open_store
from bench.tracking.studies import load_studies, log_study
from bench.tuning.plan import describe_protocol, name_study
from bench.tuning.tuned_values import (
    apply_shipped,
    apply_tuned,
    best_values,
    find_studies,
    read_toml,
    write_toml,
)
from reports.records.study import TUNING, StudyRecord, TrialRecord, read_study

DEFAULT, BEST = {"method.rank": 8, "train.lr": 1e-3}, {"method.rank": 16, "train.lr": 0.03}
TUNED = TuneSpec(trials=3)


def make_spec(**fields):
    spec = RunSpec(MethodSpec("lora"), "brats", "abc", 0, 0, Protocol(), Path("data"))
    return replace(spec, **fields)


def make_trial(number, dice, values=BEST, params=300, status="done", reason=""):
    return TrialRecord(number, status, values, dice, params, 2.0, reason)


def make_record(*trials, spec=None, prefix="", tune=TUNED, **fields):
    spec = spec or make_spec()
    tuned = replace(spec, protocol=replace(spec.protocol, tune=tune))
    record = StudyRecord(
        name=name_study(spec.cell, prefix),
        **asdict(spec.cell),
        synthetic=True,
        protocol_id="12345678",
        tune=tuned.protocol_record()["tune"],
        protocol=describe_protocol(tuned),
        trials=trials or (make_trial(0, 0.2, DEFAULT), make_trial(1, 0.4), make_trial(2, 0.3)),
    )
    return replace(record, **fields)


def write(record, out):
    record.write(out / TUNING / record.name)


def test_a_record_reads_back_equal(tmp_path):
    record = make_record(make_trial(0, None, status="oom", reason="8 GiB"), make_trial(1, 0.1))
    assert read_study(record.write(tmp_path)) == record


def test_a_record_of_another_version_is_one_sentence(tmp_path):
    file = replace(make_record(), schema_version=1).write(tmp_path)
    with pytest.raises(
        ValueError, match=r"study.json: schema version must be 2, got 1 \(tune again into"
    ):
        read_study(file)


def test_the_front_holds_what_nothing_beats_in_both_dice_and_parameters():
    record = make_record(
        make_trial(0, 0.5, params=200),
        make_trial(1, 0.5, params=300),  # no better than the first, and larger
        make_trial(2, 0.7, params=900),
        make_trial(3, 0.1, params=100),
        make_trial(4, 0.9, params=50, status="pruned"),  # was not trained to its end
        make_trial(5, 0.7, params=900),  # equal to an earlier one
    )
    assert [trial.number for trial in record.front] == [3, 0, 2]


def test_the_line_of_the_best_so_far_starts_where_a_trial_ended_well():
    trials = [make_trial(number, dice) for number, dice in enumerate((0.2, 0.1, 0.4), start=1)]
    record = make_record(make_trial(0, None, status="diverged"), *trials)
    assert record.best_so_far() == pytest.approx([nan, 0.2, 0.2, 0.4], nan_ok=True)


def test_runs_get_the_best_values_the_budget_and_the_name_of_the_trial(tmp_path):
    write(make_record(), tmp_path)
    (run,) = apply_tuned([make_spec()], map(best_values, find_studies([make_spec()], tmp_path)))
    assert run.method == MethodSpec("lora", (("rank", "16"),))
    assert run.chosen == (("train.lr", "0.03"),)
    assert run.study == "brats-lora-tiny_vit-f0#1"
    assert run.protocol.tune == TUNED
    assert run.protocol_id != make_spec().protocol_id


def test_where_nothing_ended_well_the_default_is_what_is_left():
    record = make_record(make_trial(0, None, DEFAULT, status="skipped"))
    (run,) = apply_tuned([make_spec()], [best_values(record)])
    assert (run.method, run.chosen, run.study) == (
        make_spec().method,
        (("train.lr", "0.001"),),
        f"{record.name}#0",
    )


def test_every_fold_uses_the_study_of_the_first_unless_each_has_its_own():
    folds = [make_spec(fold=fold) for fold in (0, 1)]
    assert [run.study[-4:] for run in apply_tuned(folds, [best_values(make_record())])] == [
        "f0#1",
        "f0#1",
    ]
    own = [
        best_values(make_record(spec=spec, tune=TuneSpec(trials=3, per_fold=True)))
        for spec in folds
    ]
    assert [run.study[-4:] for run in apply_tuned(folds, own)] == ["f0#1", "f1#1"]
    with pytest.raises(
        SpecError, match=r"--tuned: no study of lora on brats with tiny_vit, fold 1"
    ):
        apply_tuned(folds, own[:1])


def test_a_study_of_a_release_is_not_for_another_one(tmp_path):
    first, second = (replace(make_spec(), dataset=name) for name in ("brats2019", "brats2020"))
    record = make_record(spec=first)
    assert record.name == "brats2019-lora-tiny_vit-f0"
    write(record, tmp_path)
    (run,) = apply_tuned([first], map(best_values, find_studies([first], tmp_path)))
    assert run.study == "brats2019-lora-tiny_vit-f0#1"
    with pytest.raises(SpecError, match="there is no finished study of these runs"):
        find_studies([second], tmp_path)
    sentence = "no study of lora on brats2020 with tiny_vit, fold 0, got studies on brats2019"
    with pytest.raises(SpecError, match=sentence):
        apply_tuned([second], [best_values(record)])


def test_each_number_of_shots_has_its_own_study(tmp_path):
    few = make_spec(protocol=override(Protocol(), "data.shots=5"))
    write(make_record(), tmp_path)
    write(make_record(make_trial(0, 0.1, DEFAULT), spec=few), tmp_path)
    specs = [make_spec(), few]
    runs = apply_tuned(specs, map(best_values, find_studies(specs, tmp_path)))
    assert [run.study for run in runs] == [
        "brats-lora-tiny_vit-f0#1",
        "brats-lora-tiny_vit-f0-shots5#0",
    ]


def test_only_studies_of_the_prefix_are_used(tmp_path):
    write(make_record(), tmp_path)
    write(make_record(make_trial(0, 0.1, DEFAULT), prefix="wide-"), tmp_path)
    assert [record.name for record in find_studies([make_spec()], tmp_path)] == [
        "brats-lora-tiny_vit-f0"
    ]
    assert [record.name for record in find_studies([make_spec()], tmp_path, "wide-")] == [
        "wide-brats-lora-tiny_vit-f0"
    ]


def test_a_study_of_another_protocol_is_refused_with_the_difference(tmp_path):
    write(make_record(), tmp_path)
    longer = make_spec(protocol=override(Protocol(), "train.epochs=99"))
    with pytest.raises(
        SpecError, match=r"is of another protocol: train\.epochs has changed from 30 to 99"
    ):
        find_studies([longer], tmp_path)


def test_no_finished_study_is_one_sentence(tmp_path):
    with pytest.raises(
        SpecError, match=r"--tuned: there is no finished study of these runs in .*bench tune"
    ):
        find_studies([make_spec()], tmp_path)


def test_values_that_come_with_a_preset_are_for_all_runs_or_for_none(tmp_path):
    file = tmp_path / "shipped.toml"
    write_toml(file, [best_values(make_record())])
    (run,) = apply_shipped([make_spec()], file)
    assert (run.chosen, run.study, run.protocol.tune) == (
        (("train.lr", "0.03"),),
        "brats-lora-tiny_vit-f0#1",
        TUNED,
    )
    both = [make_spec(), make_spec(method=MethodSpec("linear"))]
    assert apply_shipped(both, file) == both


def test_unequal_budgets_are_refused():
    linear = make_spec(method=MethodSpec("linear"))
    small = make_record(
        make_trial(0, 0.1, {"train.lr": 1e-3}), spec=linear, tune=TuneSpec(trials=1)
    )
    with pytest.raises(SpecError, match="--tuned: every method must have had one budget"):
        apply_tuned([make_spec(), linear], [best_values(make_record()), best_values(small)])


def test_values_survive_the_file(tmp_path):
    tuned = best_values(make_record())
    write_toml(tmp_path / "tuned.toml", [tuned])
    assert read_toml(tmp_path / "tuned.toml") == [tuned]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            '"method.rank" = 16',
            '"method.rank" = 0',
            r"tuned values of .*#1: lora: rank must be >= 1, got 0",
        ),
        (
            '"method.rank" = 16',
            '"method.rnk" = 16',
            r"tuned values of .*: lora: unknown setting 'rnk' \(did you mean",
        ),
        (
            '"train.lr" = 0.03',
            '"train.lr" = -1',
            r"tuned values of .*: train\.lr: must be > 0, got -1\.0",
        ),
        ('"train.lr" = 0.03', '"train.rl" = 1', r"tuned values of .*unknown setting 'train\.rl'"),
        ("[[tuned]]", "[[tunde]]", r"--settings .*: must have a table \[tune\], and in"),
        ("[tune]", "[tuned.tune]", r"--settings .*: must "),
        (
            "fold = 0\n",
            "",
            r"--settings .*: must have .* in each \[\[tuned\]\] method, dataset, .*'fold'",
        ),
        (
            "[[tuned]]",
            "[[tuned",
            r"--settings .*: must be a file that `python -m bench tune --export-tuned` wrote",
        ),
    ],
)
def test_a_file_with_a_wrong_value_is_one_sentence(old, new, sentence, tmp_path):
    file = tmp_path / "tuned.toml"
    write_toml(file, [best_values(make_record())])
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SpecError, match=sentence):
        apply_tuned([make_spec()], read_toml(file))


def test_a_study_comes_back_from_the_store_and_is_sent_once(new_store, tmp_path):
    store = open_store(new_store(tmp_path))
    record = make_record()
    folder = record.write(tmp_path / record.name).parent
    assert log_study(store, record, folder) is True
    assert log_study(store, record, folder) is False
    assert load_studies(store) == load_studies(store, "brats") == [record]
    assert load_studies(store, "kits") == []
    longer = replace(record, trials=(*record.trials, make_trial(3, 0.6)))
    longer.write(folder)
    log_study(store, longer, folder)
    assert load_studies(store) == [longer]
    assert store.load_results() == [], "trials are no results"
