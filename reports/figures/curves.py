"""Curves: learning over the epochs, tuning over the trials, Dice over the number of training cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import MEAN
from reports.figures.style import COLUMN_IN, Looks, add_grid, new_figure
from reports.records.run import EpochRecord, RunResult
from reports.records.study import StudyRecord


def draw_learning(runs: Sequence[RunResult], looks: Looks) -> Figure:
    """Return training loss and inner validation Dice (%) over the epochs: a method's mean over its runs, and the band
    from the least to the largest run.

    Raises: ValueError if no run has a curve.
    """
    curves: dict[str, list[tuple[EpochRecord, ...]]] = {}
    for run in runs:
        if run.curve:
            curves.setdefault(run.label, []).append(run.curve)
    if not curves:
        raise ValueError("figure: learning curves must have a run with a curve, got none")
    figure = Figure(figsize=(COLUMN_IN, 3.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for label, mine in curves.items():
        _draw_band(upper, label, [{e.epoch: e.train_loss for e in curve} for curve in mine], looks)
        valid = [
            {e.epoch: 100 * e.val_dice for e in curve if e.val_dice is not None} for curve in mine
        ]
        _draw_band(lower, label, valid, looks)
    upper.set_ylabel("training loss")
    lower.set(ylabel="inner validation Dice (%)", xlabel="epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        add_grid(axes)
    _add_legend(figure, upper)
    return figure


def _draw_band(axes: Axes, label: str, curves: Sequence[dict[int, float]], looks: Looks) -> None:
    epochs = sorted({epoch for curve in curves for epoch in curve})
    values = np.array([[curve.get(epoch, np.nan) for epoch in epochs] for curve in curves])
    epochs = [
        epoch for epoch, column in zip(epochs, values.T, strict=True) if not np.isnan(column).all()
    ]
    values = values[:, ~np.isnan(values).all(axis=0)]
    if not epochs:
        return
    look = looks[label]
    axes.plot(
        epochs,
        np.nanmean(values, axis=0),
        color=look.colour,
        linestyle=look.dash,
        linewidth=1.1,
        label=label,
    )
    if len(curves) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)


def draw_tuning(studies: Sequence[StudyRecord], looks: Looks) -> Figure:
    """Return the best inner Dice (%) so far over the trials, a step line per study; the first trial is the default.

    Raises: ValueError if no trial has ended well.
    """
    lines = {study.method: 100 * np.array(study.best_so_far()) for study in studies}
    if not any(np.isfinite(line).any() for line in lines.values()):
        raise ValueError("figure: tuning must have a trial that has ended well, got none")
    figure, axes = new_figure(2.6)
    for study in studies:
        line, look = 100 * np.array(study.best_so_far()), looks[study.method]
        trials = np.arange(1, len(line) + 1)
        axes.step(
            trials, line, where="post", color=look.colour, linestyle=look.dash, label=study.method
        )
        axes.plot(trials[:1], line[:1], linestyle="none", markersize=5, **look.point)
    axes.set(xlabel="trial (the first is the default)", ylabel="best inner Dice so far (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_grid(axes)
    _add_legend(figure, axes)
    return figure


def draw_kshot(tables: Sequence[MethodComparison], looks: Looks) -> Figure:
    """Return mean Dice (%) ± standard deviation over the number of training cases; ``tables`` differ in it alone.

    Raises: ValueError if there are fewer than two numbers.
    """
    if len(tables) < 2:
        raise ValueError(
            "figure: k-shot curves must have several numbers of training cases, got one"
        )
    tables = sorted(
        tables, key=lambda table: (table.setting.shots is None, table.setting.shots or 0)
    )
    figure, axes = new_figure(2.6)
    labels = list(dict.fromkeys(label for table in tables for label in table.rows["method"]))
    for number, label in enumerate(labels):
        found = [table.rows["method"] == label for table in tables]
        means = [
            _first(table.rows.loc[rows, f"dice/{MEAN}"])
            for table, rows in zip(tables, found, strict=True)
        ]
        spreads = [
            _first(table.spreads.loc[rows, f"dice/{MEAN}"])
            for table, rows in zip(tables, found, strict=True)
        ]
        look, shift = looks[label], 0.3 * (number - (len(labels) - 1) / 2) / max(len(labels) - 1, 1)
        places = np.arange(len(tables)) + shift
        line = {"color": look.colour, "linestyle": look.dash, "linewidth": 1, "label": label}
        axes.errorbar(
            places,
            means,
            yerr=spreads,
            elinewidth=0.6,
            capsize=1.5,
            markersize=4,
            **line,
            **look.point,
        )
    shots = [table.setting.shots for table in tables]
    axes.set_xticks(
        range(len(tables)), labels=["all" if number is None else str(number) for number in shots]
    )
    axes.set(xlabel="training cases", ylabel="mean Dice (%)")
    add_grid(axes, "y")
    _add_legend(figure, axes)
    return figure


def _first(values: Sequence[float]) -> float:
    found = np.asarray(values, float)
    return float(found[0]) if found.size else np.nan


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 3 if max(map(len, labels)) < 16 else 2
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.2
    )
