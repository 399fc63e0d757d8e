"""Pictures of many methods: names, numbers and curves have room."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from reports.analysis.comparison import compare_methods
from reports.analysis.ranks import friedman_nemenyi, rank_intervals
from reports.figures.curves import draw_learning
from reports.figures.distributions import draw_critical_difference, draw_ranks, list_ticks
from reports.figures.style import SETTINGS, TEXT_IN, assign_looks, fix_layout
from reports.figures.tradeoff import draw_tradeoff
from tests.reports.figures.test_figures import FAMILIES, FLOPS, looks_of
from tests.reports.made_results import make_result


@pytest.fixture(autouse=True)
def as_printed() -> Iterator[None]:
    with mpl.rc_context(SETTINGS):
        yield


@pytest.mark.parametrize("n_methods", [29, 60])
def test_the_names_of_many_methods_are_in_a_legend_below_the_picture(n_methods: int) -> None:
    runs = []
    for number in range(n_methods):
        label = f"lora[rank={number}]"
        runs.append(replace(make_result("lora", label=label), run_id=str(number)))
    looks = looks_of(runs)
    compared = compare_methods(runs)
    for figure in (draw_tradeoff(compared[0], FLOPS, looks), draw_learning(runs, looks)):
        fix_layout(figure)  # warns, which fails here, if the legend takes the room of the axes
        (legend,) = figure.legends
        assert len(legend.get_texts()) == n_methods
        for axes in figure.axes:
            assert not axes.texts
            assert axes.get_window_extent().height > figure.dpi  # an inch
        labels = [axes.yaxis.label.get_window_extent() for axes in figure.axes]
        assert not any(one.overlaps(two) for one, two in pairwise(labels))


def test_numbers_of_many_ranks_have_room() -> None:
    assert list_ticks(7) == [1, 2, 3, 4, 5, 6, 7]
    assert list_ticks(29) == [1, 5, 10, 15, 20, 25, 29]
    assert list_ticks(61) == [1, 10, 20, 30, 40, 50, 61]
    scores = pd.DataFrame(np.random.default_rng(0).uniform(size=(60, 29)))
    scores.columns = [f"lora[rank={number}]" for number in range(29)]
    looks = assign_looks([("lora", str(label)) for label in scores.columns], FAMILIES)
    ranks = draw_ranks(rank_intervals(scores), looks)
    diagram = draw_critical_difference(friedman_nemenyi(scores), "60 cases", looks)
    ticks = [text for text in ranks.axes[0].get_xticklabels() if text.get_text()]
    numbers = [text for text in diagram.axes[0].texts if text.get_text().isdigit()]
    assert diagram.get_figwidth() == TEXT_IN  # both columns of a paper
    fix_layout(ranks)
    fix_layout(diagram)
    for shown in (ticks, numbers):
        assert len(shown) == 7
        boxes = [text.get_window_extent() for text in shown]
        assert not any(one.overlaps(two) for one, two in pairwise(boxes))
