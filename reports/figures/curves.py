"""Curves: learning over epochs, tuning over trials, Dice over the number of training cases."""

from collections.abc import Sequence
from math import inf, nan

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.analysis.comparison import MethodComparison, align_cases
from reports.analysis.tidy import MEAN
from reports.figures.style import (
    COLUMN_IN,
    Look,
    Looks,
    add_grid,
    add_legend,
    legend_height,
    legend_label,
    new_figure,
)
from reports.records.run import RunResult
from reports.records.study import StudyRecord
from reports.tables.layout import is_of_own_cases


def draw_learning(runs: Sequence[RunResult], looks: Looks) -> Figure:
    """Return training loss and inner validation Dice (%) over the epochs.

    A line is the mean over a method's runs, its band goes from the lowest to the highest run.

    Raises: ValueError if no run has a curve.
    """
    losses: dict[str, list[dict[int, float]]] = {}
    dices: dict[str, list[dict[int, float]]] = {}
    for run in runs:
        if run.curve:
            loss, dice = {}, {}
            for record in run.curve:
                loss[record.epoch] = record.train_loss
                if record.val_dice is not None:
                    dice[record.epoch] = 100 * record.val_dice
            losses.setdefault(run.label, []).append(loss)
            dices.setdefault(run.label, []).append(dice)
    if not losses:
        raise ValueError("figure: learning curves must have a run with a curve, got none")
    height_in = 2.9 + legend_height([looks[label].name for label in losses])
    figure = Figure(figsize=(COLUMN_IN, height_in), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, curves in ((upper, losses), (lower, dices)):
        for label, mine in curves.items():
            _draw_band(axes, mine, looks[label])
        add_grid(axes)
    upper.set_ylabel("training loss")
    lower.set(ylabel="inner validation\nDice (%)", xlabel="epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure, upper)
    return figure


def _draw_band(axes: Axes, curves: Sequence[dict[int, float]], look: Look) -> None:
    frame = pd.DataFrame(curves).sort_index(axis="columns").dropna(axis="columns", how="all")
    if frame.empty:
        return
    epochs = frame.columns.to_numpy(int)
    values = frame.to_numpy(float)
    mean = np.nanmean(values, axis=0)
    axes.plot(epochs, mean, linewidth=1.1, label=legend_label(look.name), **look.line)
    if len(curves) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)


def draw_tuning(studies: Sequence[StudyRecord], looks: Looks) -> Figure:
    """Return the best inner Dice (%) so far over the trials, a step line per study.

    Raises: ValueError if no trial has ended well.
    """
    if not any(study.done for study in studies):
        raise ValueError("figure: tuning must have a trial that has ended well, got none")
    figure, axes = new_figure(1.9 + legend_height([looks[each.method].name for each in studies]))
    for study in studies:
        look = looks[study.method]
        line = 100 * np.array(study.best_so_far())
        trials = range(1, len(line) + 1)
        axes.step(trials, line, where="post", label=legend_label(look.name), **look.line)
        axes.plot(trials[:1], line[:1], linestyle="none", markersize=5, **look.point)
    axes.set(xlabel="trial (the first is the default)", ylabel="best inner Dice so far (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_grid(axes)
    add_legend(figure, axes)
    return figure


def draw_kshot(comparisons: Sequence[MethodComparison], looks: Looks) -> Figure:
    """Return mean Dice (%) ± standard deviation over the number of training cases.

    Raises: ValueError if the comparisons, which differ in it alone, are fewer than two.
    """
    if len(comparisons) < 2:
        needed = "several numbers of training cases"
        raise ValueError(f"figure: k-shot curves must have {needed}, got one")
    places = np.arange(len(comparisons))
    means: dict[str, np.ndarray] = {}
    spreads: dict[str, np.ndarray] = {}
    ticks = []
    comparisons = align_cases(comparisons, f"dice/{MEAN}")
    comparisons = sorted(comparisons, key=lambda comparison: comparison.setting.shots or inf)
    for place, comparison in enumerate(comparisons):
        ticks.append(str(comparison.setting.shots or "all"))
        labels = list(comparison.rows["method"])
        for label in labels:
            number = labels.index(label)  # the first, where protocols are mixed
            if is_of_own_cases(comparison, number, f"dice/{MEAN}"):
                continue
            for found, frame in ((means, comparison.rows), (spreads, comparison.spreads)):
                values = found.setdefault(label, np.full(len(places), nan))
                values[place] = frame[f"dice/{MEAN}"][number]
    figure, axes = new_figure(1.9 + legend_height([looks[label].name for label in means]))
    for number, (label, mean) in enumerate(means.items()):
        shift = 0.3 * (number - (len(means) - 1) / 2) / max(len(means) - 1, 1)
        look = {**looks[label].line, **looks[label].point, "markersize": 4, "linewidth": 1}
        at = places + shift
        name = legend_label(looks[label].name)
        axes.errorbar(at, mean, spreads[label], elinewidth=0.6, capsize=1.5, label=name, **look)
    axes.set_xticks(places, labels=ticks)
    axes.set(xlabel="training cases", ylabel="mean Dice (%)")
    add_grid(axes, "y")
    add_legend(figure, axes)
    return figure
