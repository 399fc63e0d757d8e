"""Differences of mean Dice with their intervals: to a reference, and of tuned to default."""

from collections.abc import Sequence
from math import isnan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.analysis.claims.noninferiority import NonInferiority
from reports.analysis.paired.intervals import Interval
from reports.figures.distributions import ROW_IN, name_rows
from reports.figures.style import COLUMN_IN, FAINT, INK, Look, Looks, add_grid, new_figure
from reports.names import Names
from reports.tables.kinds.gap import Gap

LINE: dict[str, Any] = {"linewidth": 1.6, "solid_capstyle": "butt"}
POINT: dict[str, Any] = {"linestyle": "none", "markersize": 5.5, "zorder": 3}


def draw_forest(
    found: Sequence[NonInferiority], reference: str, margin_points: float, looks: Looks
) -> Figure:
    """Return each method's difference of mean Dice to a reference, the best at the top.

    The dashed lines are at the margin. The finding of the tests is beside each row.

    Args:
        found: of the methods against the reference.
        reference: its label.
        margin_points: in points of Dice.
        looks: of the methods.
    """
    order = sorted(found, key=lambda each: -each.difference.value)
    figure, axes = new_figure(0.75 + ROW_IN * len(order))
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for margin in (-margin_points, margin_points):
        axes.axvline(margin, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.axvspan(-margin_points, margin_points, color=FAINT, alpha=0.25, linewidth=0, zorder=0)
    for row, each in enumerate(order):
        _draw_interval(axes, each.difference, row, looks[each.method])
        words: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": 7}
        axes.text(1.02, row, str(each.finding), transform=axes.get_yaxis_transform(), **words)
    name_rows(axes, [looks[each.method].name for each in order])
    shown = looks[reference].name
    axes.set_xlabel(f"difference of mean Dice to {shown}\n(% points), 95 % interval")
    add_grid(axes, "x")
    return figure


def draw_gaps(gaps: Sequence[Gap], names: Names, looks: Looks) -> Figure:
    """Return mean Dice (%) with default and tuned settings, and the difference beside it.

    A hollow point is the default, a filled one is tuned.
    """
    figure = Figure(figsize=(COLUMN_IN, 0.75 + ROW_IN * len(gaps)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row, gap in enumerate(gaps):
        look = looks[gap.method]
        ends = (100 * gap.default, 100 * gap.tuned)
        left.plot(ends, (row, row), color=look.colour, linewidth=1.2)
        marks = {"marker": look.marker, "markeredgecolor": look.colour}
        left.plot(ends[:1], [row], markerfacecolor="white", **marks, **POINT)
        left.plot(ends[1:], [row], markerfacecolor=look.colour, **marks, **POINT)
        _draw_interval(right, gap.difference, row, look)
    right.axvline(0, color=INK, linewidth=0.8, zorder=1)
    name_rows(left, [_name_gap(gap, gaps, names) for gap in gaps])
    right.tick_params(axis="y", left=False, labelleft=False)
    left.set_xlabel("mean Dice (%)\n○ default  ● tuned")
    right.set_xlabel("tuned − default\n(% points), 95 % interval")
    for axes in (left, right):
        axes.set_axisbelow(True)
        axes.margins(x=0.12)
        add_grid(axes, "x")
    return figure


def _name_gap(gap: Gap, gaps: Sequence[Gap], names: Names) -> str:
    """Return the name of a method, with its settings where it has several rows."""
    shown = names.label(gap.method)
    if sum(each.method == gap.method for each in gaps) == 1:
        return shown
    return names.label(f"{gap.method}[{gap.settings[0]}]") if gap.settings[0] else shown


def _draw_interval(axes: Axes, interval: Interval, row: int, look: Look) -> None:
    """Draw a difference (a fraction, shown in % points) with its interval where it has one."""
    if not isnan(interval.low):
        ends = (100 * interval.low, 100 * interval.high)
        axes.plot(ends, (row, row), color=look.colour, **LINE)
    axes.plot([100 * interval.value], [row], **look.point, **POINT)
