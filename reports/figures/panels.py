"""Qualitative panels: one case, the reference and each method's contours on one slice."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.overlay import OUTLINE, draw_outline
from reports.figures.style import COLUMN_IN, Looks
from reports.records.slices import CaseSlices

COLUMNS = 4


def pick_cases(scores: pd.DataFrame) -> dict[str, str]:
    """Return the best, the median and the worst case by the mean over methods.

    Of ``scores`` (cases x methods) only cases on which all methods are defined count. Of an even
    number the lower median is taken; fewer than three cases give fewer names.
    """
    means = scores.dropna().mean(axis="columns").sort_values(kind="stable")
    picked: dict[str, str] = {}
    if not means.empty:
        last = len(means) - 1
        for word, place in (("best", last), ("median", last // 2), ("worst", 0)):
            case = str(means.index[place])
            if case not in picked.values():
                picked[word] = case
    return picked


def draw_panels(
    slices: Mapping[str, CaseSlices], dices: Mapping[str, float], looks: Looks
) -> Figure:
    """Return a panel with the reference, then one per method with its Dice of the whole case.

    The slice is that with most disagreement. All are by label; ``dices`` are fractions.

    Raises: ValueError if the methods have no slice in common.
    """
    first = next(iter(slices.values()))
    depth = _find_depth(list(slices.values()))
    image = first.image[_place(first, depth)]
    reference = first.reference[_place(first, depth)]
    predictions = {}
    for label, mine in slices.items():
        predictions[label] = mine.prediction[_place(mine, depth)]
    rows, columns = window = _find_window([reference, *predictions.values()])
    n_rows = -(-(len(slices) + 1) // COLUMNS)
    ratio = (rows.stop - rows.start) / (columns.stop - columns.start)
    figure = Figure(figsize=(COLUMN_IN, n_rows * (COLUMN_IN / COLUMNS * ratio + 0.3) + 0.05))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    panels = np.atleast_1d(figure.subplots(n_rows, COLUMNS)).ravel()
    for axes in panels:
        axes.set_axis_off()
    _show(panels[0], image, window)
    _draw_classes(panels[0], reference, OUTLINE)
    panels[0].set_title("reference", fontsize=6.5, pad=2)
    for axes, (label, prediction) in zip(panels[1:], predictions.items(), strict=False):
        _show(axes, image, window)
        _draw_classes(axes, prediction, looks[label].colour)
        draw_outline(axes, reference > 0, OUTLINE, 0.7, "dashed")
        name = label if len(label) < 15 else label.replace("[", "\n[")
        axes.set_title(f"{name}\n{100 * dices[label]:.1f}", fontsize=6.5, pad=2)
    return figure


def _find_depth(slices: Sequence[CaseSlices]) -> int:
    """Return the depth of the common slice on which most pixels are not the same in all maps."""
    common = set(slices[0].depths.tolist())
    sizes = set()
    for each in slices:
        common &= set(each.depths.tolist())
        sizes.add(each.image.shape[1:])
    if not common or len(sizes) > 1:
        needed = "the methods' slices of a case must be the same"
        raise ValueError(f"figure: {needed}, got other depths or sizes")

    def count_disagreeing(depth: int) -> int:
        maps = [slices[0].reference[_place(slices[0], depth)]]
        maps += [each.prediction[_place(each, depth)] for each in slices]
        return int((np.stack(maps) != maps[0]).any(axis=0).sum())

    return max(sorted(common), key=count_disagreeing)


def _place(slices: CaseSlices, depth: int) -> int:
    return int(np.flatnonzero(slices.depths == depth)[0])


def _find_window(maps: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """Return rows and columns around all objects, with a margin; the whole slice without any."""
    drawn = np.any(np.stack(maps), axis=0)
    return _find_range(np.any(drawn, axis=1)), _find_range(np.any(drawn, axis=0))


def _find_range(drawn: np.ndarray) -> slice:
    places = np.flatnonzero(drawn)
    if not places.size:
        return slice(0, drawn.size)
    margin = 4 + (places[-1] - places[0]) // 3
    return slice(max(0, places[0] - margin), min(drawn.size, places[-1] + margin + 1))


def _show(axes: Axes, image: np.ndarray, window: tuple[slice, slice]) -> None:
    rows, columns = window
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, origin="lower", interpolation="nearest")
    axes.set_xlim(columns.start - 0.5, columns.stop - 0.5)
    axes.set_ylim(rows.start - 0.5, rows.stop - 0.5)


def _draw_classes(axes: Axes, classes: np.ndarray, colour: str) -> None:
    for index in np.unique(classes[classes > 0]):
        draw_outline(axes, classes == index, colour, 0.5, "solid")
    draw_outline(axes, classes > 0, colour, 1.1, "solid")
