"""Panels: which case and which slice they show, and a contour for each region."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import methods
from reports.figures.panels import REGION_COLOURS, ShownCase, draw_panels, pick_cases, pick_failing
from reports.figures.style import INK, assign_looks
from reports.records.slices import CaseSlices

MADE_LOOKS = assign_looks([(name, name) for name in ("full", "lora")], methods.families())


def made_slices(*wrong_at: int, members: np.ndarray | None = None) -> CaseSlices:
    """Three slices of which those at the given depths are predicted empty."""
    reference = np.zeros((3, 24, 24), np.uint8)
    reference[:, 8:16, 8:16] = 1
    reference[:, 10:14, 10:14] = 2
    prediction, depths = reference.copy(), np.array([2, 5, 9])
    prediction[np.isin(depths, wrong_at)] = 0
    image = np.broadcast_to(depths[:, None, None], reference.shape).astype(np.uint8)
    maps = depths, image, reference, prediction
    return CaseSlices(*maps) if members is None else CaseSlices(*maps, members)


def test_panels_show_the_slice_with_most_disagreement() -> None:
    slices = {"full": made_slices(), "lora": made_slices(5)}
    dices = {"full": 0.9, "lora": 0.5}
    figure = draw_panels([ShownCase(slices, dices)], MADE_LOOKS)
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "reference",
        "Full fine-tuning\n90.0",
        "LoRA\n50.0",
    ]
    assert {int(axes.get_images()[0].get_array().max()) for axes in figure.axes[:3]} == {5}
    other = replace(made_slices(), depths=np.array([1, 3, 4]))
    with pytest.raises(ValueError, match="must be the same, got other depths"):
        draw_panels([ShownCase({"full": made_slices(), "lora": other}, dices)], MADE_LOOKS)


def contours(axes: Axes) -> dict[str, float]:
    """Return the half width of each contour of an axes by its colour, dark edges aside."""
    found = {}
    for drawn in axes.collections:
        colour = to_hex(drawn.get_edgecolor()[0]).upper()
        corners = np.concatenate([path.vertices for path in drawn.get_paths()])
        if colour != INK.upper():
            found[colour] = float(np.ptp(corners[:, 0]) / 2)
    return found


def test_panels_have_a_contour_and_a_legend_of_each_region() -> None:
    members = np.array([[False, False, True, False], [False, True, True, False]])  # tumour, kidney
    slices = {"full": made_slices(members=members)}
    shown = ShownCase(slices, {"full": 0.9}, ("tumour", "kidney"))
    figure = draw_panels([shown], MADE_LOOKS)
    legend = figure.subfigs[-1].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["tumour", "kidney", "reference"]
    colours = [to_hex(line.get_color()).upper() for line in legend.get_lines()]
    assert colours[:2] == [each.upper() for each in REGION_COLOURS[:2]]
    for axes in figure.axes[:2]:
        found = contours(axes)
        assert found[colours[0]] == pytest.approx(2)
        assert found[colours[1]] == pytest.approx(4), "the kidney has the tumour in it"
    older = draw_panels([ShownCase({"full": made_slices()}, {"full": 0.9}, ("a", "b"))], MADE_LOOKS)
    words = [text.get_text() for text in older.subfigs[-1].legends[0].get_texts()]
    assert words == ["class 1", "class 2", "reference"], "files without regions show classes"


def test_two_cases_are_below_each_other_with_their_titles() -> None:
    dices = {"full": 0.9}
    titles = ("median case: a", "failing case: b")
    shown = [ShownCase({"full": made_slices(5)}, dices, title=title) for title in titles]
    figure = draw_panels(shown, MADE_LOOKS)
    parts = figure.subfigs[:-1]  # the last is the legend
    assert [part.get_suptitle() for part in parts] == list(titles)
    assert [part.axes[1].get_title() for part in parts] == ["Full fine-tuning\n90.0"] * 2


def test_the_failing_case_has_the_lowest_score_of_any_method() -> None:
    scores = pd.DataFrame({"a": [0.5, 0.9, 0.4], "b": [0.3, 0.02, 0.4]}, index=list("xyz"))
    assert pick_failing(scores) == ("y", "b"), "though its mean is not the worst"


def test_best_median_and_worst_case_are_picked() -> None:
    scores = pd.DataFrame(
        {"a": [0.1, 0.9, 0.5, 0.6, np.nan], "b": [0.3, 0.7, 0.5, 0.6, 1.0]}, index=list("vwxyz")
    )
    assert pick_cases(scores) == {"best": "w", "median": "x", "worst": "v"}  # z is not seen by both
    assert pick_cases(scores.iloc[:1]) == {"best": "v"}
    assert pick_cases(scores.iloc[4:]) == {}
