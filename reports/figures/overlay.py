"""The picture that every run leaves: one slice of its first held-out case, with its outlines."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

# Okabe & Ito's palette, for the colour-blind, in an order that also differs in brightness.
COLOURS = ("#D55E00", "#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#0072B2")
OUTLINE = "white"  # of the reference, on a grey image
WIDTH = 1.3  # of an outline, in points


def draw_overlay(
    image_slice: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Return an axial slice three times: bare, with the reference and with the prediction.

    All are (H, W), H from back to front: the front is up. The image has any intensity scale, the
    maps have indices into ``class_names``, of which the first is the background.
    """
    height, width = image_slice.shape
    figure = Figure(figsize=(9, 3 * height / width + 0.8), layout="constrained")
    low, high = np.percentile(image_slice, (1, 99))
    panels = {"image": None, "reference": reference, "prediction": prediction}
    for axes, (name, classes) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(image_slice, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
        if classes is not None:
            _tint(axes, classes, len(class_names))
        if name == "prediction":
            draw_outline(axes, reference > 0, OUTLINE, WIDTH, "dashed")
        axes.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
    handles: list[Patch | Line2D] = []
    for index, name in enumerate(class_names[1:], start=1):
        handles.append(Patch(color=_colour(index), label=name))
    outline = "outline of the reference"
    handles.append(Line2D([], [], color=OUTLINE, linestyle="dashed", label=outline))
    n_names = len(handles)
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=n_names, fontsize=9)
    legend.get_frame().set(facecolor="#999999", edgecolor="none")  # white must be seen on it
    figure.suptitle(title, fontsize=11)
    return figure


def draw_outline(axes: Axes, mask: np.ndarray, colour: str, width: float, dash: str) -> None:
    """Draw the border of a mask; an object at the edge of the slice is closed there."""
    if mask.any():
        rows, columns = mask.shape
        x, y = range(-1, columns + 1), range(-1, rows + 1)
        padded, border = np.pad(mask, 1), (0.5,)
        axes.contour(x, y, padded, border, colors=[colour], linewidths=width, linestyles=dash)


def _tint(axes: Axes, classes: np.ndarray, n_classes: int) -> None:
    for index in range(1, n_classes):
        mask = classes == index
        colour = np.array([*to_rgb(_colour(index)), 0.45])
        axes.imshow(mask[..., None] * colour, origin="lower")
        draw_outline(axes, mask, _colour(index), WIDTH, "solid")


def _colour(index: int) -> str:
    return COLOURS[(index - 1) % len(COLOURS)]
