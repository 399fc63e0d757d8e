"""Qualitative panels: one case, the reference and each method's contours, on the slice with most disagreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.style import COLUMN_IN, Looks
from reports.records.slices import CaseSlices

COLUMNS = 4
OUTLINE = "white"  # of the reference, on a grey image


def pick_cases(scores: pd.DataFrame) -> dict[str, str]:
    """Return the best, the median and the worst case by the mean over methods of a matrix (cases x methods).

    Only cases on which all methods are defined count. Of an even number the lower median is taken;
    fewer than three cases give fewer names.
    """
    means = scores.dropna().mean(axis="columns").sort_values(kind="stable")
    if means.empty:
        return {}
    places = {"best": len(means) - 1, "median": (len(means) - 1) // 2, "worst": 0}
    cases = {word: str(means.index[place]) for word, place in places.items()}
    return {
        word: case
        for number, (word, case) in enumerate(cases.items())
        if case not in list(cases.values())[:number]
    }


def draw_panels(
    slices: Mapping[str, CaseSlices], dices: Mapping[str, float], looks: Looks
) -> Figure:
    """Return the image with the reference, then a panel per method with its contours and its Dice of the whole case.

    ``slices`` and ``dices`` (fractions) are of one case, by label. The outline of the reference is
    white and dashed.

    Raises: ValueError if the methods have no slice in common.
    """
    number = {label: _find_slice(slices, mine) for label, mine in slices.items()}
    first, at = next(iter(slices.values())), next(iter(number.values()))
    reference, image = first.reference[at], first.image[at]
    predictions = {label: mine.prediction[number[label]] for label, mine in slices.items()}
    rows, columns = _find_window([reference, *predictions.values()])
    n_rows = -(-(len(slices) + 1) // COLUMNS)
    ratio = (rows.stop - rows.start) / (columns.stop - columns.start)
    figure = Figure(figsize=(COLUMN_IN, n_rows * (COLUMN_IN / COLUMNS * ratio + 0.3) + 0.05))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    panels = np.atleast_1d(figure.subplots(n_rows, COLUMNS)).ravel()
    for axes in panels:
        axes.set_axis_off()
    _show(panels[0], image, reference, OUTLINE, rows, columns)
    panels[0].set_title("reference", fontsize=6.5, pad=2)
    for axes, (label, prediction) in zip(panels[1:], predictions.items(), strict=False):
        _show(axes, image, prediction, looks[label].colour, rows, columns)
        _outline(axes, reference > 0, OUTLINE, 0.7, "dashed")
        name = label if len(label) < 15 else label.replace("[", "\n[")
        axes.set_title(f"{name}\n{100 * dices[label]:.1f}", fontsize=6.5, pad=2)
    return figure


def _find_slice(slices: Mapping[str, CaseSlices], mine: CaseSlices) -> int:
    """Return the place in ``mine`` of the common slice on which most pixels are not the same in all maps."""
    common = sorted(set.intersection(*({*map(int, each.depths)} for each in slices.values())))
    if not common or len({each.image.shape[1:] for each in slices.values()}) > 1:
        raise ValueError(
            "figure: the methods' slices of a case must be the same, got other depths or sizes"
        )

    def disagreement(depth: int) -> int:
        maps = [each.prediction[_place(each, depth)] for each in slices.values()]
        maps.append(mine.reference[_place(mine, depth)])
        return int((np.stack(maps) != maps[0]).any(axis=0).sum())

    return _place(mine, max(common, key=disagreement))


def _place(slices: CaseSlices, depth: int) -> int:
    return int(np.flatnonzero(slices.depths == depth)[0])


def _find_window(maps: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """Return rows and columns around everything that is drawn, with a margin; the whole slice if there is nothing."""
    drawn = np.any([each > 0 for each in maps], axis=0)
    found = []
    for axis in (1, 0):
        places = np.flatnonzero(drawn.any(axis=axis))
        length = drawn.shape[1 - axis]
        if not places.size:
            found.append(slice(0, length))
            continue
        margin = 4 + (places[-1] - places[0]) // 3
        found.append(slice(max(0, places[0] - margin), min(length, places[-1] + margin + 1)))
    return found[0], found[1]


def _show(
    axes: Axes, image: np.ndarray, classes: np.ndarray, colour: str, rows: slice, columns: slice
) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, origin="lower", interpolation="nearest")
    for index in np.unique(classes[classes > 0]):
        _outline(axes, classes == index, colour, 0.5, "solid")
    _outline(axes, classes > 0, colour, 1.1, "solid")
    axes.set(
        xlim=(columns.start - 0.5, columns.stop - 0.5), ylim=(rows.start - 0.5, rows.stop - 0.5)
    )


def _outline(axes: Axes, mask: np.ndarray, colour: str, width: float, dash: str) -> None:
    if mask.any():
        rows, columns = (np.arange(-1, length + 1) for length in mask.shape)
        axes.contour(
            columns,
            rows,
            np.pad(mask, 1),
            levels=(0.5,),
            colors=[colour],
            linewidths=width,
            linestyles=dash,
        )
