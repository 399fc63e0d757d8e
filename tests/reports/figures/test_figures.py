"""What pictures must contain, and where; how they look is judged by eye."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

import methods
from reports.analysis.comparison import compare_methods
from reports.analysis.ranks import friedman_nemenyi, rank_intervals
from reports.analysis.tidy import MEAN
from reports.figures.curves import draw_kshot, draw_learning, draw_tuning
from reports.figures.distributions import draw_cases, draw_critical_difference, draw_ranks
from reports.figures.gallery import list_pictures
from reports.figures.picture import Picture
from reports.figures.rendering import render_one, start_renderers
from reports.figures.style import COLOURS, Looks, assign_looks
from reports.figures.tradeoff import AXES, draw_tradeoff, find_front, pareto_front
from reports.records.run import RunResult
from reports.records.study import StudyRecord, TrialRecord
from tests.reports.figures.test_panels import made_slices
from tests.reports.made_results import make_result, read_fixture

FAMILIES = methods.families()
PARAMETERS, FLOPS = AXES[:2]


def looks_of(results: list[RunResult]) -> Looks:
    return assign_looks({(run.method, run.label) for run in results}, FAMILIES)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def points(figure: Figure) -> list[tuple[float, float]]:
    lines = [
        line for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", "", "|")
    ]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def test_a_method_has_the_same_look_in_every_report() -> None:
    all_of_them = assign_looks([(name, name) for name in FAMILIES], FAMILIES)
    for name in FAMILIES:
        assert assign_looks([(name, name), ("own", "own")], FAMILIES)[name] == all_of_them[name]
    assert len({(look.colour, look.marker) for look in all_of_them.values()}) == len(FAMILIES)
    colours = {FAMILIES[name]: look.colour for name, look in all_of_them.items()}
    assert len(set(colours.values())) == len(set(FAMILIES.values()))
    for name, look in all_of_them.items():
        assert look.colour == colours[FAMILIES[name]]
    swept = assign_looks([("lora", "lora"), ("lora", "lora[rank=4]")], FAMILIES)
    assert (swept["lora"].colour, swept["lora"].filled) == (swept["lora[rank=4]"].colour, True)
    assert not swept["lora[rank=4]"].filled
    assert swept["lora"].marker != swept["lora[rank=4]"].marker


def test_points_are_where_the_table_says(results: list[RunResult]) -> None:
    (table,) = compare_methods(results)
    figure = draw_tradeoff(table, PARAMETERS, looks_of(results))
    found = points(figure)
    assert [y for _, y in found] == pytest.approx(table.rows[f"dice/{MEAN}"].dropna().to_list())
    assert [x for x, _ in found] == pytest.approx(
        [100, 2.01, 0.1]
    )  # nothing tuned: at the place of the tick 0
    ticks = dict(zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True))
    assert ticks[0.1].get_text() == "0"
    assert texts(figure) == [
        "Full fine-tuning",
        "LoRA [rank 8]",
        "Linear probing",
    ]  # what has failed has no point


def test_a_cost_that_nobody_measured_is_refused(results: list[RunResult]) -> None:
    with pytest.raises(
        ValueError, match="must have a finished method with training_gflop, got none"
    ):
        draw_tradeoff(compare_methods(results)[0], FLOPS, looks_of(results))


def test_the_pareto_front_has_what_nothing_beats() -> None:
    costs = np.array([3.0, 1.0, 2.0, 2.0, 4.0])
    dices = np.array([0.7, 0.5, 0.6, 0.4, 0.7])  # the last is as good as the first, but dearer
    assert pareto_front(costs, dices) == [1, 2, 0]


def test_the_front_goes_through_methods_that_differ_alone() -> None:
    runs = [make_result(name) for name in ("linear", "lora", "adaptformer", "full")]
    (table,) = compare_methods(runs)
    costs = table.rows["tuned_pct"].to_numpy(float)
    dices = table.rows[f"dice/{MEAN}"].to_numpy(float)
    names = list(table.rows["method"])
    through = [names[each] for each in pareto_front(costs, dices)]
    assert through == ["linear", "lora", "adaptformer", "full"]
    assert "full" in table.verdicts[f"dice/{MEAN}"].best
    assert "adaptformer" in table.verdicts[f"dice/{MEAN}"].tied
    front = find_front(table, names, costs, dices)
    assert [names[each] for each in front] == ["linear", "lora", "adaptformer"]
    few = compare_methods([make_result(name, n_cases=4) for name in ("linear", "full")])[0]
    assert find_front(few, ["linear", "full"], np.array([0.0, 1.0]), np.array([0.5, 0.6])) == []


def test_names_of_near_points_do_not_overlap(results: list[RunResult]) -> None:
    lora = results[1]
    assert lora.cost is not None
    crowd = [
        replace(
            lora,
            label=f"method_{index}",
            cost=replace(lora.cost, params_tuned_frac=0.02 * (1 + index / 200)),
        )
        for index in range(5)
    ]
    shown = [*crowd, results[0], results[2]]
    figure = draw_tradeoff(compare_methods(shown)[0], PARAMETERS, looks_of(shown))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 7
    assert not any(one.overlaps(two) for index, one in enumerate(boxes) for two in boxes[:index])


def test_names_do_not_cover_the_front() -> None:
    runs = [make_result(name) for name in ("linear", "lora", "adaptformer", "full")]
    (table,) = compare_methods(runs)
    figure = draw_tradeoff(table, FLOPS, looks_of(runs))
    (axes,) = figure.axes
    (front,) = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    corners = axes.transData.transform(front.get_xydata())
    steps = [Bbox(ends) for ends in pairwise(corners)]
    names = [text.get_window_extent() for text in axes.texts]
    assert len(names) == 4
    assert len(steps) >= 4
    assert not any(name.overlaps(step) for name in names for step in steps)


def made_scores(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.7, size=n)
    return pd.DataFrame(
        {"full": base + 0.1, "linear": base, "lora": base + 0.1 + rng.normal(0, 0.01, size=n)}
    )


MADE_LOOKS = assign_looks([(name, name) for name in ("full", "linear", "lora")], FAMILIES)


def test_every_case_is_a_point_of_the_raincloud() -> None:
    scores = made_scores()
    found = points(draw_cases(scores, MADE_LOOKS))
    assert len(found) == scores.size
    assert sorted(x for x, _ in found) == pytest.approx(sorted(100 * scores.to_numpy().ravel()))


def test_ranks_stand_best_first_with_their_intervals() -> None:
    ranks = rank_intervals(made_scores())
    figure = draw_ranks(ranks, MADE_LOOKS)
    order = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert order[-1] == "Linear probing"
    assert [x for x, _ in points(figure)] == sorted(rank.value for rank in ranks.values())


def test_the_diagram_joins_what_is_not_told_apart() -> None:
    test = friedman_nemenyi(made_scores(30))
    figure = draw_critical_difference(test, "30 cases", MADE_LOOKS)
    bars = [line.get_xdata() for line in figure.axes[0].get_lines() if line.get_linewidth() == 2.4]
    assert len(bars) == len(test.cliques) == 1
    assert {name for name, rank in test.mean_ranks.items() if bars[0][0] <= rank <= bars[0][1]} == {
        "full",
        "lora",
    }
    assert any(f"CD {test.critical_difference:.2f}" in text for text in texts(figure))


def test_the_band_of_a_learning_curve_is_from_the_lowest_to_the_highest_run() -> None:
    runs = [make_result("lora", seed=seed) for seed in (0, 1, 2)]
    upper, lower = draw_learning(runs, looks_of(runs)).axes
    losses = np.array([[record.train_loss for record in run.curve] for run in runs])
    assert upper.get_lines()[0].get_ydata() == pytest.approx(losses.mean(axis=0))
    corners = upper.collections[0].get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == pytest.approx((losses.min(), losses.max()))
    assert lower.get_lines()[0].get_ydata()[0] == pytest.approx(100 * runs[0].curve[0].val_dice)
    with pytest.raises(ValueError, match="must have a run with a curve, got none"):
        draw_learning([replace(runs[0], curve=())], looks_of(runs))


def make_study(*dices: float | None) -> StudyRecord:
    trials = tuple(
        TrialRecord(number, "failed" if dice is None else "done", {}, dice, 10, 1.0)
        for number, dice in enumerate(dices)
    )
    return StudyRecord("s", "lora", "brats", "tiny_vit", "none", 0, 0, True, "p", {}, {}, trials)


def test_tuning_shows_the_best_so_far() -> None:
    figure = draw_tuning([make_study(0.5, None, 0.4, 0.7)], MADE_LOOKS)
    assert figure.axes[0].get_lines()[0].get_ydata() == pytest.approx([50, 50, 50, 70])
    with pytest.raises(ValueError, match="a trial that has ended well, got none"):
        draw_tuning([make_study(None)], MADE_LOOKS)


def test_k_shot_curves_go_from_few_cases_to_all() -> None:
    runs = [make_result(name, shots=shots) for shots in (None, 5, 2) for name in ("lora", "linear")]
    tables = compare_methods(runs)
    figure = draw_kshot(tables, looks_of(runs))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2", "5", "all"]
    means = [
        table.rows.set_index("method").loc["lora", f"dice/{MEAN}"] for table in reversed(tables)
    ]
    assert figure.axes[0].get_lines()[0].get_ydata() == pytest.approx(means)
    with pytest.raises(ValueError, match="several numbers of training cases"):
        draw_kshot(tables[:1], looks_of(runs))


def test_every_picture_has_its_predictable_name() -> None:
    results = read_fixture()
    pictures, absent = list_pictures(
        compare_methods(results),
        [make_study(0.5)],
        lambda run, case: made_slices(),
        looks_of(results),
    )
    tradeoffs = ("dice-parameters", "dice-flops", "dice-memory", "dice-time")
    panels = ("panels", "panels-all", "panels-best", "panels-median", "panels-worst")
    of_setting = (*tradeoffs, "cases", "ranks", "learning", *panels, "critical-difference")
    names = {
        f"{name}-{dataset}-tiny-vit-none" for name in of_setting for dataset in ("brats", "kits")
    }
    once = {"tuning-brats-tiny-vit-none-fold0", "differences-brats-tiny-vit-none"}
    assert {picture.slug for picture in pictures} == names | once
    assert len(pictures) == len(names) + 2
    assert all("SYNTHETIC" in picture.caption for picture in pictures)
    (pair,) = [each for each in pictures if each.slug == "panels-brats-tiny-vit-none"]
    assert "the median by the mean over methods, and case" in pair.caption
    assert "with the lowest Dice of all methods and cases" in pair.caption
    (sentence,) = absent  # on KiTS it ran out of memory
    assert "non-inferiority on KiTS" in sentence
    assert "must have the reference with all runs done and ranked, got 'full'" in sentence


def test_a_single_method_has_no_ranks_and_that_is_said() -> None:
    results = [make_result("lora")]
    pictures, absent = list_pictures(
        compare_methods(results), [], lambda run, case: None, looks_of(results)
    )
    assert absent == [
        "not drawn: rank intervals on BraTS on Tiny ViT/8 (random initialisation) "
        "must have two methods, got LoRA"
    ]
    assert not any(picture.slug.startswith(("ranks", "critical")) for picture in pictures)


def make_pictures() -> list[Picture]:
    results = read_fixture()
    return list_pictures(compare_methods(results), [], lambda run, case: None, looks_of(results))[0]


def test_pictures_become_files() -> None:
    files = render_one(make_pictures()[0], ("pdf", "png", "svg"))
    assert files["pdf"].startswith(b"%PDF")
    assert files["png"].startswith(b"\x89PNG")
    assert files["svg"].startswith(b"<svg")
    assert b"currentColor" in files["svg"]
    assert COLOURS[0].lower().encode() in files["svg"].lower()


@pytest.mark.slow
def test_several_processes_make_the_same_files() -> None:
    pictures = make_pictures()[:8]
    with start_renderers() as renderers:
        together = list(renderers.map(render_one, pictures, [("pdf", "svg")] * 8))
    assert len(together) == 8
    with start_renderers() as renderers:  # a PDF's fonts depend on what was drawn before
        (alone,) = renderers.map(render_one, pictures[:1], [("pdf", "svg")])
    assert together[0] == alone
    # A second font would have the ligature of "fine-tuning": the copy for PDF files has none.
    assert alone["pdf"].count(b"/FontFile2") == 1
