"""Pictures: prediction against reference on a slice, and Dice against tuned parameters.

Figures are made without pyplot, so that no window system is touched and none stays in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import Bbox

from reports.summary import MethodTable
from reports.tidy import MEAN

# Okabe & Ito's palette, which the colour-blind can tell apart, in an order that also differs in brightness.
COLOURS = ("#D55E00", "#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#0072B2")
LINE = "#333333"
OUTLINE = "white"
OFFSETS = (
    (0, 7),
    (0, -7),
    (8, 0),
    (-8, 0),
    (7, 6),
    (-7, 6),
    (7, -6),
    (-7, -6),
    (0, 17),
    (0, -17),
    (0, 27),
    (0, -27),
)  # points


def draw_overlay(
    image_slice: np.ndarray, reference: np.ndarray, prediction: np.ndarray, class_names: Sequence[str], title: str
) -> Figure:
    """Return an axial slice three times: bare, with the reference and with the prediction.

    ``image_slice`` is (H, W) of any intensity scale; ``reference`` and ``prediction`` are class indices (H, W) into
    ``class_names``, whose first is the background. H runs from back to front, so that the front is up.
    """
    height, width = image_slice.shape
    figure = Figure(figsize=(9, 3 * height / width + 0.8), layout="constrained")
    low, high = np.percentile(image_slice, (1, 99))
    for axes, name in zip(figure.subplots(1, 3), ("image", "reference", "prediction"), strict=True):
        axes.imshow(image_slice, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
        if name != "image":
            _tint(axes, reference if name == "reference" else prediction, len(class_names))
        if name == "prediction":
            _outline(axes, reference > 0, OUTLINE, linestyles="dashed")
        axes.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
    handles = [Patch(color=_colour(index), label=name) for index, name in enumerate(class_names) if index]
    outline = Line2D([], [], color=OUTLINE, linestyle="dashed", label="outline of the reference")
    legend = figure.legend(handles=[*handles, outline], loc="outside lower center", ncols=len(handles) + 1, fontsize=9)
    legend.get_frame().set(facecolor="#999999", edgecolor="none")  # white must be seen on it
    figure.suptitle(title, fontsize=11)
    return figure


def _tint(axes: Axes, classes: np.ndarray, n_classes: int) -> None:
    for index in range(1, n_classes):
        mask = classes == index
        colour = np.array([*to_rgb(_colour(index)), 0.45])
        axes.imshow(mask[..., None] * colour, origin="lower")
        _outline(axes, mask, _colour(index), linestyles="solid")


def _outline(axes: Axes, mask: np.ndarray, colour: str, linestyles: str) -> None:
    """Draw the border of a mask; an object at the edge of the slice is closed there, an empty mask leaves nothing."""
    if mask.any():
        rows, columns = (np.arange(-1, length + 1) for length in mask.shape)
        axes.contour(
            columns, rows, np.pad(mask, 1), levels=(0.5,), colors=[colour], linewidths=1.3, linestyles=linestyles
        )


def _colour(index: int) -> str:
    return COLOURS[(index - 1) % len(COLOURS)]


def draw_dice_vs_parameters(table: MethodTable) -> Figure:
    """Return mean Dice (%) over the share of tuned parameters (log scale), a labelled point per finished method.

    A method that tunes nothing but the decoder stands at "0", left of a gap.

    Raises: ValueError if no method of the table has a result.
    """
    rows = table.rows[table.rows["note"] == ""]
    if rows.empty:
        raise ValueError(f"figure: {table.setting} must have a finished method, got none")
    shares, dices = rows["tuned_pct"].to_numpy(float), rows[f"dice/{MEAN}"].to_numpy(float)
    positive = shares[shares > 0]
    zero_at = 10 ** (np.floor(np.log10(positive.min())) - 1) if positive.size else 0.1
    places = np.where(shares > 0, shares, zero_at)

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.scatter(places, dices, s=45, color=COLOURS[5], zorder=3)
    axes.margins(0.12)
    _mark_zero(axes, zero_at, has_zero=bool((shares == 0).any()))
    axes.set_xlabel("tuned parameters outside the decoder (% of the backbone)")
    axes.set_ylabel("mean Dice (%)")
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    data = f"{table.setting.dataset} (SYNTHETIC phantoms)" if table.synthetic else table.setting.dataset
    axes.set_title(f"{data} · {table.setting.backbone}, weights: {table.setting.weights}", fontsize=10)
    _label_points(figure, axes, list(rows["method"]), np.stack([places, dices], axis=1))
    return figure


def _mark_zero(axes: Axes, zero_at: float, *, has_zero: bool) -> None:
    """Give the axis ticks at whole powers of ten, and one named 0 if a method stands there."""
    exponents = range(round(np.log10(zero_at)) + 1, 3)
    ticks = {10.0**exponent: f"{10.0**exponent:g}" for exponent in exponents} | ({zero_at: "0"} if has_zero else {})
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xticks([], minor=True)
    if has_zero:
        axes.axvline(zero_at * 10**0.5, color=LINE, linewidth=0.8, linestyle=(0, (2, 4)))


def _label_points(figure: Figure, axes: Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Write each name next to its point, at the first place where it covers no point and no other name."""
    figure.draw_without_rendering()  # the layout decides where points lie in pixels
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in pixels]
    for name, point in zip(names, points, strict=True):
        for across, up in OFFSETS:
            label = axes.annotate(
                name,
                tuple(point),
                xytext=(across, up),
                textcoords="offset points",
                ha="center" if across == 0 else "left" if across > 0 else "right",
                va="center" if up == 0 else "bottom" if up > 0 else "top",
                fontsize=9,
                color=LINE,
            )
            extent = label.get_window_extent()
            inside = axes.bbox.x0 <= extent.x0 and extent.x1 <= axes.bbox.x1 + 20
            if (inside and not any(extent.overlaps(other) for other in taken)) or (across, up) == OFFSETS[-1]:
                taken.append(extent)
                break
            label.remove()
