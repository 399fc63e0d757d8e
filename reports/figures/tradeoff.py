"""Mean Dice against what a method costs, with the Pareto front: the methods that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import MEAN
from reports.figures.style import FAINT, INK, Looks, add_grid, fix_layout, new_figure
from reports.tables.layout import time_unit

AROUND = ((0, 5), (0, -5), (6, 0), (-6, 0), (6, 5), (-6, 5), (6, -5), (-6, -5))
OFFSETS = (*AROUND, *((scale * x, scale * y) for scale in (2.5, 4.5) for x, y in AROUND))  # points


@dataclass(frozen=True)
class Axis:
    """A cost on the x axis: its key in `quantities.COSTS`, the picture's name, what stands below the axis."""

    cost: str
    name: str
    label: str
    logarithmic: bool = False


AXES = (
    Axis("tuned_pct", "parameters", "tuned parameters (% of the backbone)", logarithmic=True),
    Axis("training_gflop", "flops", "training, GFLOP for one patch"),
    Axis("peak_mib", "memory", "peak memory (MiB)"),
    Axis("fit_s", "time", "training (s)"),
)


def draw_tradeoff(table: MethodComparison, axis: Axis, looks: Looks) -> Figure:
    """Return mean Dice (%) over a cost, a named point per finished method, and the Pareto front.

    On the logarithmic axis a method that tunes nothing stands at "0", left of a gap.

    Raises: ValueError if no finished method has the cost.
    """
    rows = table.rows[(table.rows["note"] == "") & table.rows[axis.cost].notna()]
    if rows.empty:
        raise ValueError(
            f"figure: {table.setting} must have a finished method with {axis.cost}, got none"
        )
    costs, dices = rows[axis.cost].to_numpy(float), rows[f"dice/{MEAN}"].to_numpy(float)
    label = axis.label
    if axis.cost == "fit_s":
        unit, length_s = time_unit(costs.max())
        label, costs = f"training ({unit})", costs / length_s
    figure, axes = new_figure(2.6)
    places = _place_on_log_axis(axes, costs) if axis.logarithmic else costs
    front = pareto_front(costs, dices)
    axes.step(places[front], dices[front], where="post", color=FAINT, linewidth=1.2, zorder=1)
    names = list(rows["method"])
    for name, x, y in zip(names, places, dices, strict=True):
        axes.plot([x], [y], linestyle="none", markersize=6, zorder=3, **looks[name].point)
    axes.margins(0.16)
    axes.set(xlabel=label, ylabel="mean Dice (%)")
    add_grid(axes)
    _label_points(figure, axes, names, np.stack([places, dices], axis=1))
    return figure


def pareto_front(costs: np.ndarray, dices: np.ndarray) -> np.ndarray:
    """Return the numbers of the points, cheapest first, that no other point equals or beats in both respects."""
    order = np.lexsort((-dices, costs))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], dices[order]]))[:-1]
    return np.asarray(order[dices[order] > best])


def _place_on_log_axis(axes: Axes, costs: np.ndarray) -> np.ndarray:
    """Give the axis ticks at whole powers of ten, and one named 0 if a method stands there; return where points lie."""
    positive = costs[costs > 0]
    zero_at = 10 ** (np.floor(np.log10(positive.min())) - 1) if positive.size else 0.1
    places = np.where(costs > 0, costs, zero_at)
    has_zero = bool((costs == 0).any())
    axes.set_xscale("log")
    highest = int(np.ceil(np.log10(places.max())))
    exponents = range(round(np.log10(zero_at)) + 1, highest + 1)
    ticks = {10.0**exponent: f"{10.0**exponent:g}" for exponent in exponents} | (
        {zero_at: "0"} if has_zero else {}
    )
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xticks([], minor=True)
    if has_zero:
        axes.axvline(zero_at * 10**0.5, color=INK, linewidth=0.6, linestyle=(0, (2, 4)))
    return places


def _label_points(figure: Figure, axes: Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Write each name next to its point, at the first place where it covers no point and no other name."""
    fix_layout(figure)  # it decides where points lie in pixels
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in pixels]
    for name, point in zip(names, points, strict=True):
        for across, up in OFFSETS:
            label = axes.annotate(
                name,
                tuple(point),
                xytext=(across, up),
                textcoords="offset points",
                ha="center" if across == 0 else "left" if across > 0 else "right",
                va="center" if up == 0 else "bottom" if up > 0 else "top",
                fontsize=7,
            )
            extent = label.get_window_extent()
            inside = (
                axes.bbox.x0 <= extent.x0
                and extent.x1 <= axes.bbox.x1 + 4
                and extent.y1 <= axes.bbox.y1 + 4
            )
            if (inside and not any(extent.overlaps(other) for other in taken)) or (
                across,
                up,
            ) == OFFSETS[-1]:
                taken.append(extent)
                break
            label.remove()
