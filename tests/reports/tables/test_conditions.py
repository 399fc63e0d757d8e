"""What captions say of how runs were made: it follows from the records; differences are named."""

from dataclasses import replace
from itertools import product

import pytest

from reports.analysis.comparison import compare_methods
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.formats.spreadsheet import format_csv
from reports.names import BUILT_IN_NAMES
from reports.page.facts import describe_synthetic
from reports.records.run import RunResult
from reports.tables.build import KINDS, ReportRequest, build_tables
from reports.tables.kinds.main import main_tables
from reports.tables.table import Table
from tests.reports.made_results import make_result, tuned_on, with_protocol


def only(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def caption(table: Table) -> str:
    return " ".join(table.caption)


def by_weights(**fields: object) -> list[RunResult]:
    """Return runs with two kinds of weights; those with in21k under other fields."""
    runs = [make_result(name, weights="none") for name in ("linear", "lora")]
    others = [make_result(name, weights="in21k") for name in ("linear", "lora")]
    return runs + [with_protocol(run, **fields) if fields else run for run in others]


def by_shots(**fields: object) -> list[RunResult]:
    runs = [make_result(name, shots=5) for name in ("linear", "lora")]
    others = [make_result(name) for name in ("linear", "lora")]
    return runs + [with_protocol(run, **fields) if fields else run for run in others]


@pytest.mark.parametrize(
    ("kind", "runs", "field", "columns"),
    [
        ("pretraining", by_weights, "model.weights", ("random initialisation", "ImageNet-21k")),
        ("kshot", by_shots, "data.shots", ("all", "5")),
    ],
)
def test_a_sweep_is_of_one_field_alone(kind, runs, field, columns):
    same = only(KINDS[kind](compare_methods(runs())))
    assert f"which differ in {field} alone." in caption(same)

    other = runs(train_lr=3e-5, train_epochs=500)
    with pytest.raises(ValueError, match=f"must differ in {field} alone, got train.lr") as refused:
        build_tables(other, ReportRequest(kind=kind), per_dataset=False)
    assert "3e-05" in str(refused.value)
    assert "train.epochs" in str(refused.value)
    assert "--allow-mixed" in str(refused.value)

    allowed = ReportRequest(kind=kind, allow_mixed=True)
    shown = caption(only(build_tables(other, allowed, per_dataset=False)))
    assert " alone." not in shown
    assert "which DIFFER in train.lr (" in shown
    for column, value in zip(columns, ("0.001", "3e-05"), strict=True):
        assert f"{column}: {value}" in shown or f"{column}: " in shown
    assert "train.epochs (" in shown
    assert "500" in shown


def test_columns_of_other_folds_seeds_and_cases_are_named() -> None:
    none = [make_result("lora", weights="none", fold=fold) for fold in (0, 1)]
    in21k = [make_result("lora", weights="in21k", seed=seed) for seed in (0, 1)]
    shown = caption(only(KINDS["pretraining"](compare_methods(none + in21k))))
    assert "random initialisation: 20 held-out cases, folds 0, 1, seed 0" in shown
    assert "ImageNet-21k: 10 held-out cases, fold 0, seeds 0, 1" in shown

    moved = [
        replace(run, cases=tuple(replace(row, case=f"{row.case}b") for row in run.cases))
        for run in in21k[:1]
    ]
    shown = caption(only(KINDS["pretraining"](compare_methods(none[:1] + moved))))
    assert "10 held-out cases; fold 0, seed 0. The columns are not over the same cases." in shown


def test_data_sets_side_by_side_are_described_one_by_one() -> None:
    brats = [make_result("lora", "brats", fold) for fold in (0, 1)]
    kits = replace(with_protocol(make_result("lora", "kits"), train_lr=0.5), synthetic=False)
    shown = caption(only(main_tables(compare_methods([*brats, kits]))))
    assert "BraTS: 20 held-out cases, folds 0, 1, seed 0; KiTS: 10 held-out cases, fold 0" in shown
    assert "over the means of folds and seeds (BraTS), over cases (KiTS)" in shown
    assert "Data of BraTS: SYNTHETIC" in shown
    assert "which DIFFER in train.lr (BraTS: 0.001; KiTS: 0.5)" in shown


def test_seeds_are_averaged_only_where_there_are_several() -> None:
    one = [make_result(name) for name in ("linear", "lora")]
    more = [make_result(name, seed=seed) for name, seed in product(("linear", "lora"), (0, 1))]
    words = "each averaged over its seeds first"
    assert words not in caption(only(main_tables(compare_methods(one))))
    assert words in caption(only(main_tables(compare_methods(more))))


def test_an_intersection_is_named() -> None:
    full = make_result("full")
    lora = make_result("lora")
    fewer = replace(lora, cases=lora.cases[:12])
    shown = caption(only(main_tables(compare_methods([full, fewer], intersection=True))))
    assert "4 held-out cases that all methods have; fold 0, seed 0" in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threads": 2}, "Runs DIFFER in threads (1, 2)."),
        ({"threads": None}, "Runs DIFFER in threads (1, not recorded)."),
        ({"device": "cuda:0", "device_name": "H100"}, "device (cpu, cuda), device name (H100, i5)"),
        ({"packages": {"torch": "2.9"}}, "Runs DIFFER in torch (2.8, 2.9)."),
        ({"precision": "bf16-mixed"}, "Runs DIFFER in precision (32-true, bf16-mixed)."),
        ({"n_devices": 4}, "Runs DIFFER in devices of a run (1, 4)."),
        ({"n_devices": 1}, ""),  # as older records, which lack it
        ({}, ""),
    ],
)
def test_machines_that_differ_are_named(changes: dict[str, object], words: str) -> None:
    facts = {"device": "cpu", "device_name": "i5", "threads": 1, "packages": {"torch": "2.8"}}
    facts |= {"precision": "32-true"}
    full = replace(make_result("full"), provenance=facts)
    lora = replace(make_result("lora"), provenance=facts | changes)
    for kind in ("main", "efficiency", "comparison"):
        shown = caption(only(KINDS[kind](compare_methods([full, lora]))))
        assert words in shown
        assert ("DIFFER" in shown) == bool(words)


def test_times_name_the_devices_that_shared_a_run() -> None:
    facts = {"device": "cuda:0", "device_name": "H100", "n_devices": 4}
    runs = [replace(make_result(name), provenance=facts) for name in ("full", "lora")]
    assert "Times on 4 x cuda (H100)." in caption(only(KINDS["efficiency"](compare_methods(runs))))


def test_two_gpus_of_one_kind_are_one_device() -> None:
    runs = []
    for number, name in enumerate(("full", "lora")):
        facts = {"device": f"cuda:{number}", "device_name": "H100"}
        runs.append(replace(make_result(name), provenance=facts))
    assert "DIFFER" not in caption(only(main_tables(compare_methods(runs))))


def folds_tuned_on(study_fold: int, **tune: object) -> list[RunResult]:
    runs = [tuned_on(make_result("lora", fold=fold), study_fold) for fold in range(3)]
    return [with_protocol(run, **tune) for run in runs] if tune else runs


def test_a_tuned_table_has_budget_fold_and_whose_held_out_cases_tuning_could_use() -> None:
    table = only(main_tables(compare_methods(folds_tuned_on(0))))
    words = (
        "Settings tuned with 8 trials a method (10 epochs each) "
        "on inner validation cases of fold 0."
    )
    assert words in caption(table)
    reuse = "‡: settings chosen on fold 0, whose training part has the held-out cases of folds 1, 2"
    assert reuse in caption(table)
    (name,) = table.columns[0].cells
    assert (name.key, name.mark) == ("lora", "‡")
    shown = {
        format_markdown(table): "| LoRA ‡ |",
        format_latex(table): r"LoRA{\textdaggerdbl} &",
        format_csv(table): "\nlora,‡,",
    }
    for text, words in shown.items():
        assert words in text


@pytest.mark.parametrize("kind", ["main", "efficiency", "comparison"])
def test_only_methods_are_marked_whose_tuning_could_use_held_out_cases(kind: str) -> None:
    reused = folds_tuned_on(1)[:2]
    own = [replace(run, method="full", label="full", study_fold=run.fold) for run in reused]
    table = only(KINDS[kind](compare_methods([*own, *reused])))
    marks = {cell.key: cell.mark for cell in table.columns[0].cells}
    assert marks["lora"] == "‡"
    assert not marks.get("full")
    assert "chosen on fold 1, whose training part has the held-out cases of fold 0." in caption(
        table
    )


def test_a_study_a_fold_leaves_no_mark() -> None:
    runs = [tuned_on(make_result("lora", fold=fold), fold) for fold in range(3)]
    runs = [with_protocol(run, tune_per_fold=True) for run in runs]
    table = only(main_tables(compare_methods(runs)))
    assert "8 trials a method (10 epochs each) on inner validation cases of each fold" in caption(
        table
    )
    assert "‡" not in format_markdown(table)


def test_an_untuned_table_has_default_settings_but_for_brackets() -> None:
    plain = make_result("lora")
    assert "Not tuned: default settings." in caption(only(main_tables(compare_methods([plain]))))
    swept = replace(plain, label="lora[rank=4]", settings={"rank": 4})
    shown = caption(only(main_tables(compare_methods([plain, swept]))))
    assert "Not tuned: default settings, but for those in brackets." in shown


def test_the_fold_of_an_old_record_is_in_its_study_name() -> None:
    run = make_result("lora", fold=2)
    for name in ("brats-lora-tiny_vit-f3#0", "mine-brats-lora-rank-4-tiny_vit-f3-shots5#12"):
        assert replace(run, study=name).tuned_on == 3
    assert replace(run, study="by hand").tuned_on is None
    assert replace(run, study="brats-lora-tiny_vit-f3#0", study_fold=1).tuned_on == 1
    assert run.tuned_on is None
    unknown = replace(run, study="by hand")
    shown = caption(only(main_tables(compare_methods([unknown]))))
    assert "Settings tuned with a budget that is not recorded." in shown


def test_counts_that_are_means_over_data_sets_are_named() -> None:
    brats, kits = make_result("lora", "brats"), make_result("lora", "kits")
    assert "means over the data sets" not in caption(only(main_tables(compare_methods([brats]))))
    assert kits.cost is not None
    fewer = replace(kits, cost=replace(kits.cost, params_total=kits.cost.params_total - 9))
    shown = caption(only(main_tables(compare_methods([brats, fewer]))))
    assert "Counts are means over the data sets" in shown


def test_the_page_names_synthetic_data_only() -> None:
    brats = replace(make_result("lora", "brats"), data_note="They are round.")
    kits = replace(make_result("lora", "kits"), synthetic=False)
    both = describe_synthetic([brats, kits], BUILT_IN_NAMES)
    assert both == "The volumes of BraTS are phantoms from a generator. They are round."
    assert describe_synthetic([brats], BUILT_IN_NAMES).startswith("The volumes are phantoms")
    assert describe_synthetic([kits], BUILT_IN_NAMES) == ""
