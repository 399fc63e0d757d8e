"""From results to numbers."""

from dataclasses import replace

import numpy as np
import pytest

from reports.analysis.comparison import MethodComparison, compare_methods
from reports.analysis.tidy import MEAN, case_table
from reports.records.run import RunResult, Status
from reports.tables.kinds.main import main_table
from reports.tables.table import BEST, SECOND, Column


def only_table(results: list[RunResult], **options: bool) -> MethodComparison:
    (table,) = compare_methods(results, **options)
    return table


def column(table: MethodComparison, *heads: str) -> Column:
    """Return the column whose lowest headings are these."""
    (found,) = [item for item in main_table([table]).columns if item.heads[-len(heads) :] == heads]
    return found


def texts(table: MethodComparison, *heads: str) -> tuple[str, ...]:
    return tuple(cell.text for cell in column(table, *heads).cells)


def places(table: MethodComparison, *heads: str) -> tuple[int, ...]:
    return tuple(cell.place for cell in column(table, *heads).cells)


def caption(table: MethodComparison) -> str:
    return " ".join(main_table([table]).caption)


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
    table = only_table(results)
    row, spread = table.rows.iloc[1], table.spreads.iloc[1]
    assert row["method"] == "lora[rank=8]"
    assert row["dice/WT"] == pytest.approx(70)
    assert row["dice/ET"] == pytest.approx(45)
    assert row[f"dice/{MEAN}"] == pytest.approx(57.5)
    assert spread["dice/WT"] == pytest.approx(np.std([80, 60], ddof=1))
    assert spread[f"dice/{MEAN}"] == pytest.approx(np.std([65, 50], ddof=1))
    assert row[f"hd95_mm/{MEAN}"] == pytest.approx(
        4.5
    )  # p1: 2 and 4, p2: 6 and one that is not defined
    assert row["hd95_mm_defined_frac"] == pytest.approx(0.75)
    assert (row["tuned_m"], row["tuned_pct"], row["fit_s"]) == pytest.approx((0.024576, 2.01, 61.0))


def test_methods_keep_their_order_and_none_is_dropped(results: list[RunResult]) -> None:
    table = only_table(results)
    assert table.rows["method"].tolist() == [
        "full",
        "lora[rank=8]",
        "linear",
        "bad_one",
        "vpt_deep",
    ]
    assert table.rows["note"].tolist() == ["", "", "", "failed", "skipped"]
    assert table.notes == (
        "bad_one on BraTS, fold 0, seed 0: failed (RuntimeError: 100% <memory>).",
        "VPT-Deep on BraTS, fold 0, seed 0: skipped (needs role 'prompt').",
    )
    assert texts(table, "mean")[3:] == ("failed", "skipped")


def test_seeds_are_averaged_within_a_case_before_the_spread(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, seed=1, cases=tuple(replace(row, dice=row.dice - 0.2) for row in lora.cases)
    )
    table = only_table([lora, other], spread="cases")
    row, spread = table.rows.iloc[0], table.spreads.iloc[0]
    assert row["n_cases"] == 2
    assert row["dice/WT"] == pytest.approx(60)
    assert spread["dice/WT"] == pytest.approx(np.std([70, 50], ddof=1))


def test_folds_add_cases(results: list[RunResult]) -> None:
    lora = results[1]
    other = replace(
        lora, fold=1, cases=tuple(replace(row, case=f"q{row.case}") for row in lora.cases)
    )
    table = only_table([lora, other])
    assert table.rows.iloc[0]["n_cases"] == 4
    assert "4 held-out cases; folds 0, 1, seed 0." in caption(table)


def test_a_method_with_a_fold_missing_says_so_and_is_not_ranked(results: list[RunResult]) -> None:
    full, lora, linear = results[:3]
    others = []  # of fold 1, with cases of its own
    for run in (lora, linear):
        cases = tuple(replace(row, case=f"q{row.case}") for row in run.cases)
        others.append(replace(run, fold=1, cases=cases))
    for missing in (
        [],
        [replace(full, fold=1, status=Status.FAILED, reason="no", cases=(), cost=None)],
    ):
        table = only_table([full, lora, linear, *others, *missing])
        assert table.rows["note"].tolist() == ["1 of 2 runs", "", ""]
        assert places(table, "WT") == (0, BEST, SECOND)


def test_ranks(results: list[RunResult]) -> None:
    table = only_table(results)
    assert places(table, "WT") == (BEST, SECOND, 0, 0, 0)
    assert places(table, "HD95 (mm)") == (0, 0, 0, 0, 0)  # all are equal
    full, lora, linear = results[:3]
    tied = only_table([full, replace(full, label="again"), lora, linear])
    assert places(tied, "WT") == (BEST, BEST, SECOND, 0)
    nearer = replace(linear, cases=tuple(replace(row, hd95_mm=1.0) for row in linear.cases))
    assert places(only_table([full, lora, nearer]), "HD95 (mm)") == (0, 0, BEST)  # two of three


def test_small_numbers_are_not_shown_as_zero(results: list[RunResult]) -> None:
    lora = results[1]
    assert lora.cost is not None
    table = only_table(
        [
            replace(
                lora,
                cost=replace(lora.cost, params_tuned=192, params_tuned_frac=0.00002, fit_s=7200.0),
            )
        ]
    )
    assert texts(table, "Tuned", "M") == ("<0.001",)
    assert texts(table, "Tuned", "%") == ("<0.01",)
    assert texts(table, "fit (h)") == ("2.0",)


def test_one_case_has_no_spread(results: list[RunResult]) -> None:
    lora = results[1]
    assert texts(only_table([replace(lora, cases=lora.cases[:2])]), "WT") == ("80.0",)


def test_only_failures_still_make_a_table(results: list[RunResult]) -> None:
    table = only_table(results[3:])
    assert texts(table, "Method") == ("bad_one", "VPT-Deep")
    assert table.rows["note"].tolist() == ["failed", "skipped"]
    assert not table.regions
    assert "0 held-out cases" in caption(table)


def test_tables_are_split_by_data_set_backbone_and_weights(results: list[RunResult]) -> None:
    lora = results[1]
    others = [
        replace(lora, **{name: "another", "protocol_id": name})
        for name in ("dataset", "backbone", "weights")
    ]
    assert len(compare_methods([lora, *others, lora])) == 4


def test_caption_says_what_the_numbers_are(results: list[RunResult]) -> None:
    words_below = caption(only_table(results))
    for words in (
        "SYNTHETIC phantoms, not patient data",
        "random initialisation",
        "2 held-out cases; fold 0, seed 0",
        "± standard deviation over cases",
        "larger of the two directed 95th percentiles",
        "in 75% of them",
        "Protocol abc123",
    ):
        assert words in words_below
    real = [replace(result, synthetic=False, weights="in21k") for result in results]
    words_below = caption(only_table(real))
    assert "SYNTHETIC" not in words_below
    assert "weights: ImageNet-21k" in words_below


def test_mixed_protocols_are_refused_with_the_field_that_differs(results: list[RunResult]) -> None:
    protocol = {"train": {"lr": 1e-3, "epochs": 60}, "dataset": {"fingerprint": "f00"}}
    mixed = [*results[:2], replace(results[1], protocol_id="def456", protocol=protocol)]
    with pytest.raises(
        ValueError,
        match=r"BraTS on Tiny ViT/8 .* got 2 \(abc123, def456\) .* train\.epochs \(30, 60\) ",
    ) as info:
        compare_methods(mixed)
    assert "train.lr" not in str(info.value)
    table = only_table(mixed, allow_mixed=True)
    assert texts(table, "Method") == (
        "Full fine-tuning [abc123]",
        "LoRA [rank 8] [abc123]",
        "LoRA [rank 8] [def456]",
    )
    shown = main_table([table])
    assert not shown.has_places
    assert not any(cell.tied for column in shown.columns for cell in column.cells)
    assert table.verdicts == {}
    assert "MIXED protocols" in caption(table)


def test_a_protocol_in_memory_equals_the_same_one_from_a_file():
    """The run of a process that died has its protocol from the spec, the others from JSON."""
    from reports.records.plain import flatten

    assert flatten({"data": {"patch": (16, 64, 64)}}) == flatten({"data": {"patch": [16, 64, 64]}})
