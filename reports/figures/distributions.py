"""Methods case by case: rainclouds, intervals of ranks, the critical-difference diagram."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.paired.intervals import Interval
from reports.analysis.ranks import Friedman
from reports.figures.style import COLUMN_IN, FAINT, INK, TEXT_IN, Looks, add_grid, new_figure

ROW_IN = 0.26  # height of a method's row
MOST_TICKS = 12  # numbers on an axis of ranks
LEAST_FOR_CLOUD = 8  # fewer cases have no density
LYING: dict[str, Any] = {"orientation": "horizontal"}
BOX = {**LYING, "widths": 0.16, "showfliers": False, "manage_ticks": False}


def draw_cases(scores: pd.DataFrame, looks: Looks) -> Figure:
    """Return a raincloud per method, top down, of seeds' mean Dice (cases x methods, fractions)."""
    names = list(scores.columns)
    figure, axes = new_figure(0.6 + 1.35 * ROW_IN * len(names))
    rng = np.random.default_rng(0)  # scatters the points across the row, nothing else
    for row, name in enumerate(names):
        values = 100 * scores[name].dropna().to_numpy(float)
        colour = looks[name].colour
        if values.size >= LEAST_FOR_CLOUD and np.ptp(values) > 0:
            at = [row - 0.12]
            cloud = axes.violinplot(values, at, widths=0.7, showextrema=False, side="low", **LYING)
            for body in cloud["bodies"]:  # type: ignore[attr-defined]  # typed as one artist
                body.set(facecolor=colour, edgecolor="none", alpha=0.35)
        box = axes.boxplot(values, positions=[row], **BOX)
        for part in (*box["boxes"], *box["whiskers"], *box["caps"], *box["medians"]):
            part.set(color=colour, linewidth=0.9)
        heights = row + 0.26 + rng.uniform(-0.09, 0.09, size=values.size)
        axes.plot(values, heights, "o", color=colour, markersize=2, alpha=0.6, mew=0)
    name_rows(axes, [looks[name].name for name in names])
    axes.set_xlabel(f"Dice of a case, mean over regions (%)\nn = {len(scores)}")
    add_grid(axes, "x")
    return figure


def draw_ranks(ranks: Mapping[str, Interval], looks: Looks) -> Figure:
    """Return each method's rank by mean Dice with its 95 % interval, the best at the top."""
    order = sorted(ranks, key=lambda name: (ranks[name].value, ranks[name].low))
    figure, axes = new_figure(0.6 + ROW_IN * len(order))
    for row, name in enumerate(order):
        rank, look = ranks[name], looks[name]
        ends = (rank.low, rank.high)
        axes.plot(ends, (row, row), color=look.colour, linewidth=2, solid_capstyle="butt")
        axes.plot([rank.value], [row], linestyle="none", markersize=6, **look.point)
    name_rows(axes, [looks[name].name for name in order])
    axes.set_xticks(list_ticks(len(order)))
    axes.set(xlim=(0.6, len(order) + 0.4), xlabel="rank by mean Dice, 95 % interval")
    add_grid(axes, "x")
    return figure


def list_ticks(n_methods: int) -> list[int]:
    """Return the ranks whose numbers have room on an axis: the first, the last, and between."""
    step = 1 if n_methods <= MOST_TICKS else 5 * ceil(n_methods / 5 / MOST_TICKS)
    inner = [rank for rank in range(step, n_methods, step) if 1 < rank <= n_methods - step / 2]
    return sorted({1, *inner, n_methods})


def draw_critical_difference(test: Friedman, blocks: str, looks: Looks) -> Figure:
    """Return the mean ranks over ``blocks`` (words) on a line, best left (Demsar 2006, figure 1).

    A bar joins methods that Nemenyi's test cannot tell apart.
    """
    order = sorted(test.mean_ranks, key=test.mean_ranks.__getitem__)
    k = len(order)
    half = (k + 1) // 2  # methods that are named at the left
    first_name = 0.55 + 0.32 * len(test.cliques)
    depth = first_name + 0.5 * half
    width_in = COLUMN_IN if k <= MOST_TICKS else TEXT_IN
    figure, axes = new_figure(0.55 + 0.27 * (depth + 1.2), width_in)
    axes.set_axis_off()
    axes.set(xlim=(1 - 0.75 * k / 2 - 0.2, k + 0.75 * k / 2 + 0.2), ylim=(depth, -1.9))
    axes.plot([1, k], [0, 0], color=INK, linewidth=0.8)
    for rank in range(1, k + 1):
        axes.plot([rank, rank], [0, -0.15], color=INK, linewidth=0.8)
    for rank in list_ticks(k):
        axes.text(rank, -0.25, str(rank), ha="center", va="bottom", fontsize=7)
    for place, name in enumerate(order):
        mean = test.mean_ranks[name]
        shown = looks[name].name
        if place < half:
            height = first_name + 0.5 * place
            end, side, words = 1 - 0.12 * k, "right", f" {shown} {mean:.2f} "
        else:
            height = first_name + 0.5 * (k - 1 - place)
            end, side, words = k + 0.12 * k, "left", f" {mean:.2f} {shown} "
        axes.plot([mean, mean, end], [0, height, height], color=looks[name].colour, linewidth=0.9)
        axes.text(end, height, words, ha=side, va="center", fontsize=7)
    for number, clique in enumerate(test.cliques):
        ends = (test.mean_ranks[clique[0]] - 0.04, test.mean_ranks[clique[-1]] + 0.04)
        axes.plot(ends, [0.3 + 0.32 * number] * 2, color=INK, linewidth=2.4)
    critical = test.critical_difference
    axes.plot((1, 1 + critical), [-1.05] * 2, color=INK, linewidth=1.2, marker="|", markersize=5)
    axes.text(1 + critical, -1.05, f"  CD {critical:.2f}", va="center", fontsize=7)
    axes.set_title(f"mean rank over {blocks}", fontsize=7, color=INK)
    return figure


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write a name at the left of each row, from 0 at the top on."""
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylim(len(names) - 0.45, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(FAINT)
