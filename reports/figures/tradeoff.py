"""Mean Dice against what a method costs, with the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from reports.analysis.claims.robustness import mean_intervals
from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.contrasts import Sample
from reports.analysis.paired.intervals import ALPHA, LEAST_FOR_INTERVAL
from reports.analysis.statistics import LEAST_CASES
from reports.analysis.tidy import MEAN
from reports.figures.picture import describe_compared, describe_rough
from reports.figures.style import (
    FAINT,
    INK,
    Looks,
    add_grid,
    add_legend,
    fix_layout,
    legend_height,
    legend_label,
    new_figure,
)
from reports.records.run import REFERENCE
from reports.tables.layout import is_of_own_cases, time_unit

AROUND = ((0, 5), (0, -5), (6, 0), (-6, 0), (6, 5), (-6, 5), (6, -5), (-6, -5))
RING: dict[str, Any] = {  # around the point of a reference network
    **{"linestyle": "none", "marker": "o", "markersize": 11},
    **{"markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 0.7},
}
FRONT = (
    "The line is the Pareto front: it rises to a dearer method only where its mean is higher than "
    "that of each cheaper one on it beyond chance (the tests of the tables, corrected over the "
    "pairs of methods that no other equals in both)."
)
BARS = "Bars: 95 % intervals of the means."
NO_FRONT = f"No front: {LEAST_CASES} common cases and one protocol are needed for its tests."
ZERO = "A method that tunes nothing is left of the dotted line, outside of the logarithmic scale."
RINGED = "A ring marks a reference network."
MOST_NAMED = 12  # beside their points; there is no room for more
GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}  # of names
SIDES = {-1: "right", 0: "center", 1: "left"}
HEIGHTS = {-1: "top", 0: "center", 1: "bottom"}
Point = tuple[float, float]  # in data units
Line = tuple[Point, Point]  # upright or level, by its ends
OFFSETS = (*AROUND, *((scale * x, scale * y) for scale in (2.5, 4.5) for x, y in AROUND))  # points


@dataclass(frozen=True)
class Axis:
    """A cost on the x axis."""

    cost: str  # key in `quantities.COSTS`
    name: str  # of the picture
    label: str  # below the axis
    logarithmic: bool = False
    words: str = ""  # in the caption, where they are not the name


AXES = (
    Axis("tuned_pct", "parameters", "tuned parameters (% of the backbone)", logarithmic=True),
    Axis("training_gflop", "flops", "training, GFLOP for one patch", words="FLOPs"),
    Axis("peak_mib", "memory", "peak memory (MiB)"),
    Axis("fit_s", "time", "training (s)"),
)


def draw_tradeoff(comparison: MethodComparison, axis: Axis, looks: Looks) -> Figure:
    """Return mean Dice (%) over a cost, a named point per finished method, and the Pareto front.

    Names are beside the points, or of many methods in a legend. A bar is the 95 % interval of a
    ranked method's mean. The front is that of `find_front`.

    On the logarithmic axis a method that tunes nothing stands at "0", left of a gap.

    Raises: ValueError if no finished method has the cost.
    """
    rows = finished_with(comparison, axis.cost)
    if rows.empty:
        needed = f"a finished method with {axis.cost}"
        raise ValueError(f"figure: {comparison.title} must have {needed}, got none")
    costs = rows[axis.cost].to_numpy(float)
    dices = rows[f"dice/{MEAN}"].to_numpy(float)
    label = axis.label
    if axis.cost == "fit_s":
        unit, length_s = time_unit(costs.max())
        label = f"training ({unit})"
        costs = costs / length_s
    names = list(rows["method"])
    shown = [looks[name].name for name in names]
    has_legend = len(names) > MOST_NAMED
    figure, axes = new_figure(2.6 + (legend_height(shown) if has_legend else 0))
    places = _place_on_log_axis(axes, costs) if axis.logarithmic else costs
    lines = _draw_front(axes, places, dices, find_front(comparison, names, costs, dices))
    for name, x, y in zip(names, places, dices, strict=True):
        look = {"label": legend_label(looks[name].name), **looks[name].point}
        axes.plot([x], [y], linestyle="none", markersize=6, zorder=3, **look)
    whole = (rows["kind"] == REFERENCE).to_numpy()
    axes.plot(places[whole], dices[whole], zorder=2, **RING)
    lines += _draw_intervals(axes, comparison, names, places, looks)
    axes.margins(0.16)
    axes.set(xlabel=label, ylabel="mean Dice (%)")
    add_grid(axes)
    if has_legend:
        add_legend(figure, axes)
    else:
        _label_points(figure, axes, shown, np.stack([places, dices], axis=1), lines)
    return figure


def finished_with(comparison: MethodComparison, cost: str) -> pd.DataFrame:
    """Return the rows of the finished methods that have a cost and are compared by mean Dice.

    Methods of which the mean is over other cases than that of the ranked ones are left out.
    """
    rows = comparison.rows
    key = f"dice/{MEAN}"
    own = [is_of_own_cases(comparison, number, key) for number in range(len(rows))]
    return rows[(rows["note"] == "") & rows[cost].notna() & ~np.array(own, dtype=bool)]


def find_front(
    comparison: MethodComparison, names: Sequence[str], costs: np.ndarray, dices: np.ndarray
) -> list[int]:
    """Return the numbers of the methods on the Pareto front, the cheapest first.

    A dearer method is on it only if its mean Dice is higher beyond chance than that of each cheaper
    one on it: a test of the means, corrected over all pairs of the methods that no other equals or
    beats in both. Without tests (few cases, mixed protocols) nothing differs, and there is no
    front.

    Args:
        names: labels, with their ``costs`` and mean ``dices``.
    """
    if not has_tests(comparison):
        return []
    scope = comparison.scopes[f"dice/{MEAN}"]
    ranked = set(scope.ranked)
    best = [each for each in pareto_front(costs, dices) if names[each] in ranked]
    sample = Sample.of(scope.matrix(), scope.matrix_of_runs())
    pairs = list(combinations(best, 2))
    differs: dict[tuple[int, int], bool] = {}
    if pairs:
        contrasts = [sample.contrast(names[dearer], names[cheaper]) for cheaper, dearer in pairs]
        corrected = sample.test(np.array(contrasts))[1]
        differs = dict(zip(pairs, corrected < ALPHA, strict=True))
    front = best[:1]
    for dearer in best[1:]:
        if all(differs[cheaper, dearer] for cheaper in front):
            front.append(dearer)
    return front


def has_tests(comparison: MethodComparison) -> bool:
    """Return whether there are tests of mean Dice: one protocol, and cases enough."""
    scope = comparison.scopes.get(f"dice/{MEAN}")
    return scope is not None and len(scope.cases) >= LEAST_CASES


def describe_tradeoff(axis: Axis, comparison: MethodComparison) -> str:
    """Return what a caption says of the front, the bars and the marks."""
    sentences = [FRONT if has_tests(comparison) else NO_FRONT]
    if len(comparison.scores) >= LEAST_FOR_INTERVAL:
        sentences += [BARS, *describe_rough(comparison)]
    sentences += describe_compared(comparison)
    if axis.logarithmic and (comparison.rows[axis.cost] == 0).any():
        sentences.append(ZERO)
    if (comparison.rows["kind"] == REFERENCE).any():
        sentences.append(RINGED)
    return " ".join(sentences)


def pareto_front(costs: np.ndarray, dices: np.ndarray) -> list[int]:
    """Return the numbers of the points that no other equals or beats in both, cheapest first."""
    order = np.lexsort((-dices, costs))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], dices[order]]))[:-1]
    return [int(each) for each in order[dices[order] > best]]


def _place_on_log_axis(axes: Axes, costs: np.ndarray) -> np.ndarray:
    """Set a logarithmic axis with a tick 0, if a cost is 0; return where the points are."""
    positive = costs[costs > 0]
    zero_at = 10 ** (np.floor(np.log10(positive.min())) - 1) if positive.size else 0.1
    places = np.where(costs > 0, costs, zero_at)
    axes.set_xscale("log")
    highest = int(np.ceil(np.log10(places.max())))
    ticks = {}
    for exponent in range(round(np.log10(zero_at)) + 1, highest + 1):
        ticks[10.0**exponent] = f"{10.0**exponent:g}"
    if (costs == 0).any():
        ticks[zero_at] = "0"
        axes.axvline(zero_at * 10**0.5, color=INK, linewidth=0.6, linestyle=(0, (2, 4)))
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xticks([], minor=True)
    return places


def _draw_front(
    axes: Axes, places: np.ndarray, dices: np.ndarray, front: Sequence[int]
) -> list[Line]:
    """Draw the steps of the front, to the dearest point; return them."""
    corners: list[Point] = []
    for number in front:
        if corners:
            corners.append((places[number], corners[-1][1]))
        corners.append((places[number], dices[number]))
    if not corners:
        return []
    corners.append((places.max(), corners[-1][1]))
    axes.plot(*zip(*corners, strict=True), color=FAINT, linewidth=1.2, zorder=1)
    return list(pairwise(corners))


def _draw_intervals(
    axes: Axes, comparison: MethodComparison, names: Sequence[str], places: np.ndarray, looks: Looks
) -> list[Line]:
    """Draw the intervals of means, and return them."""
    scope = comparison.scopes.get(f"dice/{MEAN}")
    intervals = mean_intervals(scope) if scope else {}
    bars: list[Line] = []
    for name, x in zip(names, places, strict=True):
        interval = intervals.get(name)
        if interval is not None and np.isfinite(interval.low):
            low, high = 100 * interval.low, 100 * interval.high
            axes.vlines(x, low, high, color=looks[name].colour, linewidth=0.8, zorder=2)
            bars.append(((x, low), (x, high)))
    return bars


def _label_points(
    figure: Figure, axes: Axes, names: Sequence[str], points: np.ndarray, lines: Sequence[Line]
) -> None:
    """Write each name next to its point, where it covers no point, no line and no other name."""
    fix_layout(figure)  # it decides where points are in pixels
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in pixels]
    covered = [Bbox(axes.transData.transform(ends)) for ends in lines]
    for name, point in zip(names, points, strict=True):
        label = _place_label(axes, name, point, [*taken, *covered], AROUND)
        label = label or _place_label(axes, name, point, taken, OFFSETS)  # on a line
        label = label or _place_label(axes, name, point, [], OFFSETS[-1:])
        if label is not None:
            taken.append(label.get_window_extent())


def _place_label(
    axes: Axes,
    name: str,
    point: np.ndarray,
    taken: Sequence[Bbox],
    offsets: Sequence[tuple[float, float]],
) -> Annotation | None:
    """Write a name at the first offset where it covers nothing; None: there is no such place."""
    for offset in offsets:
        across, up = np.sign(offset)
        look: dict[str, Any] = {"ha": SIDES[across], "va": HEIGHTS[up], "fontsize": 7}
        look["bbox"] = GROUND  # where there is no place but on a line
        label = axes.annotate(name, tuple(point), offset, textcoords="offset points", **look)
        if not taken or _is_free(axes, label.get_window_extent(), taken):
            return label
        label.remove()
    return None


def _is_free(axes: Axes, extent: Bbox, taken: Sequence[Bbox]) -> bool:
    """Return whether a name is inside the axes, with 4 pixels to spare, and covers nothing."""
    left = axes.bbox.x0 <= extent.x0
    right = extent.x1 <= axes.bbox.x1 + 4
    top = extent.y1 <= axes.bbox.y1 + 4
    return left and right and top and not any(map(extent.overlaps, taken))
