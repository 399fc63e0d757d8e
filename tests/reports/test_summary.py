"""From results to numbers."""

from dataclasses import replace

import numpy as np
import pytest

from bench.results import RunResult, Status
from reports.cells import BEST, SECOND, Column, build_columns
from reports.summary import MethodTable, method_tables
from reports.tidy import MEAN, case_table


def only_table(results: list[RunResult], **options: bool) -> MethodTable:
    (table,) = method_tables(results, **options)
    return table


def column(table: MethodTable, head: str) -> Column:
    (found,) = [item for item in build_columns(table) if item.head == head]
    return found


def test_case_table_has_a_row_per_case_and_region(results: list[RunResult]) -> None:
    table = case_table(results)
    assert len(table) == 3 * 4
    first = table.iloc[4]
    expected = {
        "dataset": "brats",
        "method": "lora[rank=8]",
        "fold": 0,
        "seed": 0,
        "case": "p1",
        "region": "WT",
        "dice": 0.8,
    }
    assert {name: first[name] for name in expected} == expected
    assert table["hd95_mm"].isna().sum() == 3


def test_numbers_of_a_row_by_hand(results: list[RunResult]) -> None:
    row = only_table(results).rows.iloc[1]
    assert row["method"] == "lora[rank=8]"
    assert row["dice_pct/WT"] == pytest.approx(70)
    assert row["dice_pct/ET"] == pytest.approx(45)
    assert row[f"dice_pct/{MEAN}"] == pytest.approx(57.5)
    assert row["dice_pct_sd/WT"] == pytest.approx(np.std([80, 60], ddof=1))
    assert row[f"dice_pct_sd/{MEAN}"] == pytest.approx(np.std([65, 50], ddof=1))
    assert row["hd95_mm"] == pytest.approx(4)  # of the three that are defined
    assert row["hd95_frac"] == pytest.approx(0.75)
    assert (row["tuned_m"], row["tuned_pct"], row["fit_s"]) == pytest.approx((0.024576, 2.01, 61.0))


def test_methods_keep_their_order_and_none_is_dropped(results: list[RunResult]) -> None:
    table = only_table(results)
    assert table.rows["method"].tolist() == ["full", "lora[rank=8]", "linear", "bad_one", "vpt_deep"]
    assert table.rows["note"].tolist() == ["", "", "", "failed", "skipped"]
    assert table.notes == (
        "bad_one, fold 0, seed 0: failed (RuntimeError: 100% <memory>).",
        "vpt_deep, fold 0, seed 0: skipped (needs role 'prompt').",
    )
    assert set(column(table, "mean").texts[3:]) == {"–"}


def test_changing_one_number_changes_what_depends_on_it(results: list[RunResult]) -> None:
    before = [item.texts for item in build_columns(only_table(results))]
    lora = results[1]
    results[1] = replace(lora, cases=(replace(lora.cases[0], hd95_mm=5.0), *lora.cases[1:]))
    after = [item.texts for item in build_columns(only_table(results))]
    changed = [(one, two) for before_column, after_column in zip(before, after, strict=True)
               for one, two in zip(before_column, after_column, strict=True) if one != two]  # fmt: skip
    assert changed == [("4.0", "5.0")]


def test_seeds_are_averaged_within_a_case_before_the_spread(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(lora, seed=1, cases=tuple(replace(row, dice=row.dice - 0.2) for row in lora.cases))
    row = only_table([lora, other]).rows.iloc[0]
    assert row["n_cases"] == 2
    assert row["dice_pct/WT"] == pytest.approx(60)
    assert row["dice_pct_sd/WT"] == pytest.approx(np.std([70, 50], ddof=1))


def test_folds_add_cases(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(lora, fold=1, cases=tuple(replace(row, case=f"q{row.case}") for row in lora.cases))
    table = only_table([lora, other])
    assert table.rows.iloc[0]["n_cases"] == 4
    assert "4 held-out cases; folds 0, 1, seed 0." in " ".join(table.caption)


def test_a_method_with_a_fold_missing_says_so_and_is_not_ranked(results: list[RunResult]) -> None:
    full, lora, linear = results[:3]
    for missing in ([], [replace(full, fold=1, status=Status.FAILED, reason="no", cases=(), cost=None)]):
        table = only_table([full, lora, linear, replace(lora, fold=1), replace(linear, fold=1), *missing])
        assert table.rows["note"].tolist() == ["1 of 2 runs", "", ""]
        assert column(table, "WT").places == (0, BEST, SECOND)


def test_ranks(results: list[RunResult]) -> None:
    table = only_table(results)
    assert column(table, "WT").places == (BEST, SECOND, 0, 0, 0)
    assert column(table, "HD95 (mm)").places == (0, 0, 0, 0, 0)  # all are equal
    full, lora, linear = results[:3]
    tied = only_table([full, replace(full, label="again"), lora, linear])
    assert column(tied, "WT").places == (BEST, BEST, SECOND, 0)
    nearer = replace(linear, cases=tuple(replace(row, hd95_mm=1.0) for row in linear.cases))
    assert column(only_table([full, lora, nearer]), "HD95 (mm)").places == (SECOND, SECOND, BEST)


def test_small_numbers_are_not_shown_as_zero(results: list[RunResult]) -> None:
    lora = results[1]
    assert lora.cost is not None
    table = only_table(
        [replace(lora, cost=replace(lora.cost, params_tuned=192, params_tuned_frac=0.00002, fit_s=7200.0))]
    )
    assert column(table, "M").texts == ("<0.001",)
    assert column(table, "%").texts == ("<0.01",)
    assert column(table, "Time (h)").texts == ("2.0",)


def test_one_case_has_no_spread(results: list[RunResult]) -> None:
    lora = results[1]
    assert column(only_table([replace(lora, cases=lora.cases[:2])]), "WT").texts == ("80.0",)


def test_only_failures_still_make_a_table(results: list[RunResult]) -> None:
    table = only_table(results[3:])
    assert column(table, "Note").texts == ("failed", "skipped")
    assert "0 held-out cases" in " ".join(table.caption)


def test_tables_are_split_by_data_set_backbone_and_weights(results: list[RunResult]) -> None:
    lora = results[1]
    others = [replace(lora, **{name: "another", "protocol_id": name}) for name in ("dataset", "backbone", "weights")]
    assert len(method_tables([lora, *others, lora])) == 4


def test_caption_says_what_the_numbers_are(results: list[RunResult]) -> None:
    caption = " ".join(only_table(results).caption)
    for words in (
        "SYNTHETIC phantoms, not patient data",
        "none (random initialisation)",
        "2 held-out cases; fold 0, seed 0",
        "± standard deviation over cases",
        "larger of the two directed 95th percentiles",
        "in 75% of them",
        "Protocol abc123",
    ):
        assert words in caption
    real = [replace(result, synthetic=False, weights="in21k") for result in results]
    caption = " ".join(only_table(real).caption)
    assert "SYNTHETIC" not in caption
    assert "weights: in21k" in caption


def test_mixed_protocols_are_refused_with_the_field_that_differs(results: list[RunResult]) -> None:
    protocol = {"train": {"lr": 1e-3, "epochs": 60}, "dataset": {"fingerprint": "f00"}}
    mixed = [*results[:2], replace(results[1], protocol_id="def456", protocol=protocol)]
    with pytest.raises(
        ValueError, match=r"brats on tiny_vit .* got 2 \(abc123, def456\) .* train\.epochs \(30, 60\) "
    ) as info:
        method_tables(mixed)
    assert "train.lr" not in str(info.value)
    table = only_table(mixed, allow_mixed=True)
    assert column(table, "Method").texts == ("full [abc123]", "lora[rank=8] [abc123]", "lora[rank=8] [def456]")
    assert not any(any(item.places) for item in build_columns(table))
    assert "MIXED protocols" in " ".join(table.caption)
