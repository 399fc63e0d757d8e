"""The other kinds of tables, their options, and what they refuse."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from reports.analysis.comparison import compare_methods
from reports.formats.macros import format_macros
from reports.records.run import RunResult
from reports.tables.build import KINDS
from reports.tables.kinds.main import main_table, main_tables
from reports.tables.table import BEST, SECOND, Cell, Column, Table, rank_cells
from reports.tables.view import Published, View, apply_view, read_published, select_methods
from tests.reports.made_results import make_result, read_fixture


def only(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def column(table: Table, key: str) -> Column:
    (found,) = [item for item in table.columns if item.key == key]
    return found


def texts(table: Table, key: str) -> list[str]:
    return [cell.own_key for cell in column(table, key).cells]


@pytest.fixture(scope="module")
def fixture() -> list[RunResult]:
    return read_fixture()


def test_pretraining_table_has_a_column_per_weights() -> None:
    runs = [
        make_result(name, weights=weights)
        for name, weights in product(("linear", "lora"), ("none", "in21k"))
    ]
    table = only(KINDS["pretraining"](compare_methods(runs)))
    assert [item.heads for item in table.columns[1:]] == [
        ("Mean Dice (%) by weights", "random initialisation (n = 10)"),
        ("Mean Dice (%) by weights", "ImageNet-21k (n = 10)"),
    ]
    none, in21k = ([cell.value for cell in item.cells] for item in table.columns[1:])
    assert all(after > before for before, after in zip(none, in21k, strict=True))
    assert "weights: random initialisation, ImageNet-21k." in " ".join(table.caption)


def test_kshot_table_goes_from_few_to_all() -> None:
    runs = [
        make_result(name, shots=shots) for name, shots in product(("linear", "lora"), (None, 10, 5))
    ]
    table = only(KINDS["kshot"](compare_methods(runs)))
    assert [item.heads[-1] for item in table.columns[1:]] == [
        "5 (n = 10)",
        "10 (n = 10)",
        "all (n = 10)",
    ]
    assert [cell.place for cell in table.columns[1].cells] == [2, 1]


def test_comparison_is_with_the_first_method_unless_told(fixture: list[RunResult]) -> None:
    brats = [result for result in fixture if result.dataset == "brats"]
    table = only(KINDS["comparison"](compare_methods(brats)))
    assert texts(table, "method") == [
        "linear",
        "lora",
        "adaptformer",
        "med_adapter",
        "lora[rank=4]",
    ]
    assert "not compared: VPT-Deep" in " ".join(table.caption)
    assert texts(table, "p")[0] == "<0.001"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("pretraining", "must have runs with several weights, all else equal, got none"),
        ("kshot", "must have runs with several training cases, all else equal, got none"),
        ("gap", "must have a method with default and with tuned settings, got none"),
        ("ablation", "must have a method with several settings in one protocol, got none"),
        (
            "comparison",
            r"BraTS on Tiny ViT/8 \(random initialisation\) must have two methods, "
            "got lora with all runs done",
        ),
    ],
)
def test_a_kind_without_results_says_so(kind: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        KINDS[kind](compare_methods([make_result("lora")]))


def test_efficiency_leaves_out_what_nobody_measured(fixture: list[RunResult]) -> None:
    found = KINDS["efficiency"](compare_methods(fixture))[0]
    assert texts(found, "training_gflop")[0] == "24.5"  # two per multiply-accumulate
    assert "energy_kj" in " ".join(found.caption)
    assert not [item for item in found.columns if item.key == "energy_kj"]
    with pytest.raises(ValueError, match="must have a run that is done"):
        KINDS["efficiency"](
            compare_methods([r for r in fixture if r.label == "full" and r.dataset == "kits"])
        )


def test_data_sets_stand_side_by_side(fixture: list[RunResult]) -> None:
    table = only(main_tables(compare_methods(fixture)))
    assert {item.heads[0] for item in table.columns} == {"", "BraTS (n = 20)", "KiTS (n = 20)"}
    assert texts(table, "kits:dice/mean")[0] == "oom"
    assert texts(table, "kits:dice/mean")[-1] == "missing"


def test_view_selects_orders_and_groups(fixture: list[RunResult]) -> None:
    view = View(
        methods=("linear", "lora", "full"),
        columns=("tuned_m", "dice/mean"),
        groups={"Updates": ("lora",), "Nothing": ("linear",)},
    )
    table = apply_view(only(main_tables(compare_methods(select_methods(fixture, view)))), view)
    assert texts(table, "method") == ["lora", "lora[rank=4]", "linear", "full"]
    assert table.sections == {0: "Updates", 2: "Nothing", 3: "others"}
    assert [item.key for item in table.columns] == [
        "method",
        "tuned_m",
        "brats:dice/mean",
        "kits:dice/mean",
    ]


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (
            View(columns=("dise",)),
            "--columns of the main table must be among tuned_m, .* got 'dise'",
        ),
        (View(groups={"x": ("nothing",)}), "--group must name methods of the table .* got none"),
    ],
)
def test_views_that_cannot_be_are_refused(
    fixture: list[RunResult], view: View, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        apply_view(only(main_tables(compare_methods(fixture))), view)


def test_an_unknown_method_is_refused(fixture: list[RunResult]) -> None:
    with pytest.raises(ValueError, match=r"--methods must be among full, .*, got 'lroa'"):
        select_methods(fixture, View(methods=("lroa",)))


def test_empty_brackets_mean_the_default_settings_alone(fixture: list[RunResult]) -> None:
    found = select_methods(fixture, View(methods=("lora[]",)))
    assert {run.label for run in found} == {"lora"}
    assert {run.label for run in select_methods(fixture, View(methods=("lora",)))} == {
        "lora",
        "lora[rank=4]",
    }


def test_published_numbers_stand_beside_ours(fixture: list[RunResult]) -> None:
    brats = [result for result in fixture if result.dataset == "brats"]
    published = (
        Published("brats", "lora", "dice/mean", 63.7, "A. Author 2024"),
        Published("brats", "unet", "dice/mean", 70.0),
    )
    table = apply_view(main_table(compare_methods(brats)), View(published=published))
    keys = [item.key for item in table.columns]
    first = keys.index("brats:dice/mean")
    assert keys[first + 1 : first + 3] == ["brats:dice/mean_published", "brats:dice/mean_delta"]
    row = texts(table, "method").index("lora")
    assert texts(table, "brats:dice/mean_published")[row] == "63.7"
    assert texts(table, "brats:dice/mean_delta")[row] == "+1.0"
    assert set(texts(table, "brats:dice/mean_delta")) == {"+1.0", "–"}
    assert "numbers of the literature (A. Author 2024)" in table.caption[-1]
    assert table.notes[-1] == "Published, not in this table: unet on brats, dice/mean."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "which is not there"),
        (
            "dataset,method,value\n",
            "must have the columns dataset, method, quantity, value, lacks quantity",
        ),
        (
            "dataset,method,quantity,value\nbrats,lora,dice/WT,high\n",
            "line 2: value must be a number, got 'high'",
        ),
        (
            "dataset,method,quantity,value\n" + 2 * "brats,lora,dice/WT,90\n",
            "must have one number for a place, got two for brats, lora, dice/WT",
        ),
    ],
)
def test_a_bad_reference_file_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "published.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_published(file)


def test_macros_have_letters_only_and_one_number_each(fixture: list[RunResult]) -> None:
    table = only(main_tables(compare_methods(fixture)))
    lines = format_macros([table]).splitlines()
    assert r"\newcommand{\benchTinyVitNoneBratsLoraDiceMean}{64.7}" in lines
    assert r"\newcommand{\benchTinyVitNoneBratsLoraDiceMeanSd}{4.8}" in lines
    assert r"\newcommand{\benchTinyVitNoneKitsLinearHdNineFiveMmMean}{10.3}" in lines
    assert r"\newcommand{\benchTinyVitNoneBratsLoraRankFourDiceMean}{64.9}" in lines
    other = main_table(compare_methods([make_result("lora", seed=1)]))
    with pytest.raises(ValueError, match="a macro must stand for one number, got two for"):
        format_macros([table, other])


def test_variance_table_has_a_row_per_method_that_is_compared(fixture: list[RunResult]) -> None:
    brats = [result for result in fixture if result.dataset == "brats"]
    table = only(KINDS["variance"](compare_methods(brats)))
    assert texts(table, "method") == [
        "full",
        "linear",
        "lora",
        "adaptformer",
        "med_adapter",
        "lora[rank=4]",
    ]
    assert set(texts(table, "n_trainings")) == {"4"}
    for key in ("case", "fold", "seed", "residual"):
        assert "–" not in texts(table, key)
    assert all(int(text) > 1 for text in texts(table, "needed"))
    assert "with 80 % power by a two-sided paired t test at alpha 5 %" in " ".join(table.caption)
    with pytest.raises(ValueError, match="must have a method with several folds or seeds"):
        KINDS["variance"](compare_methods([make_result("lora")]))


def test_captions_say_which_test_it_is() -> None:
    one = [make_result(name) for name in ("linear", "lora")]
    seeds = [make_result(name, seed=seed) for name in ("linear", "lora") for seed in range(3)]
    folds = [make_result(name, fold=fold) for name in ("linear", "lora") for fold in range(3)]
    two = [run for run in seeds if run.seed < 2]
    captions = []
    for runs in (one, two, seeds, folds):
        captions.append(" ".join(only(main_tables(compare_methods(runs))).caption))
    untested = "differences between trainings are not in these tests"
    assert f"one training per method: {untested}" in captions[0]
    assert (
        f"2 trainings per method, which are too few or not the same for all: {untested}"
        in captions[1]
    )
    assert (
        "3 trainings per method (seeds of one fold: differences between training sets"
        in captions[2]
    )
    assert "3 trainings per method; corrected step-down over all pairs of methods" in captions[3]
    for caption in captions:
        assert caption.count("†: not told apart from the best (two-sided") == 1


def test_a_method_without_any_score_leaves_the_others_compared() -> None:
    runs = [make_result(name) for name in ("full", "linear", "lora")]
    nothing = tuple(replace(row, dice=float("nan")) for row in runs[0].cases)
    table = only(KINDS["comparison"](compare_methods([replace(runs[0], cases=nothing), *runs[1:]])))
    assert texts(table, "method") == ["lora"]
    assert "Difference of mean Dice to Linear probing" in table.caption[0]
    assert "Full fine-tuning" in " ".join(table.caption)


def test_intervals_of_few_cases_are_marked() -> None:
    few = [make_result(name, n_cases=10) for name in ("linear", "lora")]
    many = [make_result(name, n_cases=16) for name in ("linear", "lora")]
    marked, plain = (only(KINDS["comparison"](compare_methods(runs))) for runs in (few, many))
    assert texts(marked, "difference")[0].endswith("] rough")
    assert "rough: of fewer than 16 cases, so that 95 % is not assured." in marked.caption
    assert texts(plain, "difference")[0].endswith("]")
    assert "rough" not in " ".join(plain.caption)


def test_a_second_place_that_most_methods_share_is_not_marked() -> None:
    cells = [Cell("100", 100.0), *[Cell("0.0", 0.0)] * 4]
    places = [cell.place for cell in rank_cells(cells, [True] * 5, 1, largest_first=True)]
    assert places == [BEST, 0, 0, 0, 0]
    few = [Cell("100", 100.0), Cell("0.0", 0.0)]
    places = [cell.place for cell in rank_cells(few, [True] * 2, 1, largest_first=True)]
    assert places == [BEST, SECOND]
