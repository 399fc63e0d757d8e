"""The forest of differences, and default against tuned settings."""

import pytest

import methods
from reports.analysis.comparison import compare_methods
from reports.figures.differences import draw_forest
from reports.figures.gallery import list_pictures
from reports.figures.style import assign_looks
from reports.tables.kinds.gap import find_gaps
from reports.tables.kinds.noninferiority import compare_at_margin
from tests.reports.made_results import SHIFT, make_result, tuned_on

LOOKS = assign_looks([(name, name) for name in SHIFT], methods.families())


def test_the_forest_has_each_difference_with_its_interval_and_the_margin() -> None:
    (table,) = compare_methods([make_result(name) for name in ("full", "linear", "adaptformer")])
    reference, found = compare_at_margin(table, "", 2.0)
    axes = draw_forest(found, reference, 2.0, LOOKS).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "AdaptFormer",
        "Linear probing",
    ]
    dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert sorted(line.get_xdata()[0] for line in dashed) == [-2, 2]
    ends = [line.get_xdata() for line in axes.get_lines() if line.get_linewidth() == 1.6]
    by_method = {each.method: each for each in found}
    for drawn, name in zip(ends, ("adaptformer", "linear"), strict=True):
        interval = by_method[name].difference
        assert drawn == pytest.approx((100 * interval.low, 100 * interval.high))
    findings = [text.get_text() for text in axes.texts]
    assert findings == [str(by_method[name].finding) for name in ("adaptformer", "linear")]
    assert "Full fine-tuning" in axes.get_xlabel()


def test_default_and_tuned_means_are_joined_with_their_difference_beside() -> None:
    default = [make_result("lora", fold=fold, settings={"rank": 8}) for fold in (0, 1)]
    tuned = [tuned_on(make_result("lora", fold=each.fold, seed=9), 0) for each in default]
    pictures, _ = list_pictures(
        compare_methods([*default, *tuned]), [], lambda run, case: None, LOOKS
    )
    (picture,) = [each for each in pictures if each.slug.startswith("gap-")]
    left, right = picture.draw().axes
    ((gap,),) = [each.gaps for each in find_gaps(compare_methods([*default, *tuned]))]
    line, hollow, filled = left.get_lines()
    assert line.get_xdata() == pytest.approx((100 * gap.default, 100 * gap.tuned))
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    assert hollow.get_xdata() == pytest.approx([100 * gap.default])
    assert right.get_lines()[0].get_xdata() == pytest.approx(
        (100 * gap.difference.low, 100 * gap.difference.high)
    )
    assert "tuned 8 trials: settings tuned with 8 trials a method" in picture.caption
