"""The picture that every run leaves: image, reference and prediction on one slice of its first held-out case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# Okabe & Ito's palette, which the colour-blind can tell apart, in an order that also differs in
# brightness.
COLOURS = ("#D55E00", "#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#0072B2")
OUTLINE = "white"


def draw_overlay(
    image_slice: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Return an axial slice three times: bare, with the reference and with the prediction.

    ``image_slice`` is (H, W) of any intensity scale; ``reference`` and ``prediction`` are class
    indices (H, W) into ``class_names``, whose first is the background. H runs from back to front,
    so that the front is up.
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
    handles = [
        Patch(color=_colour(index), label=name) for index, name in enumerate(class_names) if index
    ]
    outline = Line2D([], [], color=OUTLINE, linestyle="dashed", label="outline of the reference")
    legend = figure.legend(
        handles=[*handles, outline], loc="outside lower center", ncols=len(handles) + 1, fontsize=9
    )
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
            columns,
            rows,
            np.pad(mask, 1),
            levels=(0.5,),
            colors=[colour],
            linewidths=1.3,
            linestyles=linestyles,
        )


def _colour(index: int) -> str:
    return COLOURS[(index - 1) % len(COLOURS)]
