"""The tables of tuning studies."""

from dataclasses import replace

from reports.records.study import StudyRecord, TrialRecord
from reports.tables.kinds.tuning import tuning_tables

TUNE = {
    "trials": 4,
    "budget_s": 0.0,
    "epochs": 10,
    "sampler": "tpe",
    "pruner": "median",
    "objectives": "dice",
    "per_fold": False,
    "seed": 0,
}
TRIALS = (
    TrialRecord(0, "done", {"method.rank": 8, "train.lr": 1e-3}, 0.50, 24_000, 3600.0),
    TrialRecord(1, "pruned", {"method.rank": 8, "train.lr": 1e-4}, None, 24_000, 900.0),
    TrialRecord(2, "done", {"method.rank": 16, "train.lr": 0.03}, 0.62, 48_000, 1800.0),
    TrialRecord(
        3, "oom", {"method.rank": 64, "train.lr": 0.03}, None, 0, 900.0, "out of memory on cuda:0"
    ),
)


def make_study(**fields):
    study = StudyRecord(
        "brats-lora",
        "lora",
        "brats",
        "tiny_vit",
        "none",
        0,
        0,
        True,
        "12345678",
        TUNE,
        {"train": {}},
        TRIALS,
    )
    return replace(study, **fields)


def cells(table):
    return {column.key: [cell.own_key for cell in column.cells] for column in table.columns}


def test_the_table_has_default_tuned_gap_trials_hours_and_values():
    (table,) = tuning_tables([make_study()])
    assert cells(table) == {
        "method": ["lora"],
        "default_pct": ["50.0"],
        "tuned_pct": ["62.0"],
        "gap_pct": ["12.0"],
        "trials": ["4 (1 pruned, 1 bad)"],
        "fit_h": ["2.000"],
        "values": ["rank=16, train.lr=0.03"],
    }
    assert table.notes == ("LoRA, trial 3: oom: out of memory on cuda:0",)
    assert any("SYNTHETIC" in sentence for sentence in table.caption)
    assert "Equal budget: 4 trials a method, 10 epochs a trial" in " ".join(table.caption)


def test_a_study_without_a_good_trial_has_a_row_without_numbers():
    (table,) = tuning_tables(
        [make_study(trials=TRIALS[3:]), make_study(name="linear", method="linear")]
    )
    assert cells(table)["tuned_pct"] == ["–", "62.0"]
    assert cells(table)["values"][0] == "–"


def test_studies_of_different_budgets_are_not_put_side_by_side():
    tables = tuning_tables([make_study(), make_study(name="b", tune=TUNE | {"trials": 20})])
    assert [cells(table)["method"] for table in tables] == [["lora"], ["lora"]]


def test_two_objectives_show_their_front():
    two = make_study(tune=TUNE | {"objectives": "dice,params"})
    table, front = tuning_tables([two])
    assert front.kind == "front"
    assert cells(front) == {
        "method": ["lora", "lora"],
        "trial": ["1", "3"],
        "dice_pct": ["50.0", "62.0"],
        "tuned_m": ["0.024", "0.048"],
        "values": ["the default", "rank=16, train.lr=0.03"],
    }
    assert table.kind == "tuning"


def test_a_study_of_a_reference_network_is_in_the_table_of_every_backbone():
    vit, swin = make_study(), make_study(backbone="tiny_swin", name="brats-lora-swin")
    net = make_study(method="net:nnunet", backbone="none", name="brats-net-nnunet-none")
    tables = tuning_tables([net, vit, swin])
    names = [[cell.key for cell in table.columns[0].cells] for table in tables]
    assert names == [["lora", "net:nnunet"]] * 2
    (alone,) = tuning_tables([net])
    assert [cell.key for cell in alone.columns[0].cells] == ["net:nnunet"]
