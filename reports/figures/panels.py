"""Qualitative panels: the reference and each method's contours of the regions on one slice.

A region has one colour in all panels. Contours have a dark edge, so that they are seen on bright
and on dark ground.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from reports.figures.overlay import OUTLINE, draw_outline
from reports.figures.style import COLUMN_IN, INK, TEXT_IN, Looks
from reports.records.slices import CaseSlices

MOST_COLUMNS = {COLUMN_IN: 4, TEXT_IN: 8}  # panels side by side, by the width of the picture
# Of the regions: far from each other and from every grey, also for the colour-blind.
REGION_COLOURS = ("#EF962F", "#7790FF", "#B81EAB", "#22DF78", "#B84C25", "#900BE0")
EDGE_PT = 0.6  # of the dark edge at each side of a contour
CONTOUR_PT = 1.0


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


def pick_failing(scores: pd.DataFrame) -> tuple[str, str]:
    """Return the case and the method of the lowest score of all in ``scores`` (cases x methods)."""
    values = scores.fillna(np.inf).to_numpy(float)
    row, column = np.unravel_index(int(values.argmin()), values.shape)
    return str(scores.index[int(row)]), str(scores.columns[int(column)])


@dataclass(frozen=True)
class ShownCase:
    """A case, as a picture shows it: what is by label has an entry for each method."""

    slices: Mapping[str, CaseSlices]
    dices: Mapping[str, float]  # of the whole case, fractions
    regions: tuple[str, ...] = ()  # as printed
    title: str = ""  # above its panels


def draw_panels(shown: Sequence[ShownCase], looks: Looks, *, width_in: float = COLUMN_IN) -> Figure:
    """Return panels of cases below each other: the reference, then each method with its Dice.

    The slice is that with most disagreement. A legend has the regions. Files of the time before
    there were regions in them show classes.

    Raises: ValueError if the methods have no slice of a case in common.
    """
    drawings = [CaseDrawing.of(case, width_in) for case in shown]
    legend_in = 0.28
    heights = [*(drawing.height_in for drawing in drawings), legend_in]
    figure = Figure(figsize=(width_in, sum(heights)))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    *parts, last = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, drawing in zip(parts, drawings, strict=True):
        drawing.fill(part, looks)
    _add_legend(last, drawings[0].list_layers())
    return figure


def _add_legend(figure: SubFigure, layers: Sequence[str]) -> None:
    handles = []
    for name, colour in zip(layers, _cycle_colours(len(layers)), strict=True):
        line = Line2D([], [], color=colour, linewidth=1.6, label=name)
        line.set_path_effects([Stroke(linewidth=1.6 + 2 * EDGE_PT, foreground=INK), Normal()])
        handles.append(line)
    handles.append(Line2D([], [], color=OUTLINE, linestyle="dashed", label="reference"))
    legend = figure.legend(handles=handles, loc="center", ncols=len(handles), fontsize=7)
    legend.get_frame().set(facecolor="#999999", edgecolor="none")  # white must be seen on it


def _cycle_colours(count: int) -> list[str]:
    return [REGION_COLOURS[number % len(REGION_COLOURS)] for number in range(count)]


@dataclass(frozen=True)
class CaseDrawing:
    """The slice of a case that is drawn, and where its objects are."""

    case: ShownCase
    width_in: float
    image: np.ndarray  # (H, W)
    reference: np.ndarray
    predictions: Mapping[str, np.ndarray]
    window: tuple[slice, slice]

    @staticmethod
    def of(case: ShownCase, width_in: float) -> "CaseDrawing":
        slices = case.slices
        first = next(iter(slices.values()))
        depth = _find_depth(list(slices.values()))
        image = first.image[_place(first, depth)]
        reference = first.reference[_place(first, depth)]
        predictions = {}
        for label, mine in slices.items():
            predictions[label] = mine.prediction[_place(mine, depth)]
        window = _find_window([reference, *predictions.values()])
        return CaseDrawing(case, width_in, image, reference, predictions, window)

    @property
    def n_rows(self) -> int:
        return -(-(len(self.predictions) + 1) // MOST_COLUMNS[self.width_in])

    @property
    def n_columns(self) -> int:
        full = -(-(len(self.predictions) + 1) // self.n_rows)
        return max(full, MOST_COLUMNS[self.width_in] // 2)  # few panels do not become large

    @property
    def _slices(self) -> CaseSlices:
        return next(iter(self.case.slices.values()))

    def list_layers(self) -> list[str]:
        """Return what has a contour: the regions, or the classes of an older file."""
        if self._has_regions:
            return list(self.case.regions)
        return [f"class {number}" for number in range(1, self._count_classes() + 1)]

    @property
    def _has_regions(self) -> bool:
        return 0 < len(self.case.regions) == len(self._slices.members)

    def _count_classes(self) -> int:
        maps = [each.reference for each in self.case.slices.values()]
        maps += [each.prediction for each in self.case.slices.values()]
        return max(int(classes.max(initial=0)) for classes in maps)

    def iter_masks(self, classes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the mask of each layer of a map of classes."""
        for number in range(len(self.list_layers())):
            if self._has_regions:
                yield self._slices.find_region(classes, number)
            else:
                yield classes == number + 1

    @property
    def height_in(self) -> float:
        rows, columns = self.window
        ratio = (rows.stop - rows.start) / (columns.stop - columns.start)
        title_in = 0.2 if self.case.title else 0.05
        return self.n_rows * (self.width_in / self.n_columns * ratio + 0.3) + title_in

    def fill(self, figure: SubFigure, looks: Looks) -> None:
        if self.case.title:
            figure.suptitle(self.case.title, fontsize=7)
        panels = np.atleast_1d(figure.subplots(self.n_rows, self.n_columns)).ravel()
        for axes in panels:
            axes.set_axis_off()
        _show(panels[0], self.image, self.window)
        self._draw_layers(panels[0], self.reference)
        panels[0].set_title("reference", fontsize=6.5, pad=2)
        for axes, (label, prediction) in zip(panels[1:], self.predictions.items(), strict=False):
            _show(axes, self.image, self.window)
            self._draw_layers(axes, prediction)
            draw_outline(axes, self.reference > 0, OUTLINE, 0.7, "dashed")
            name = looks[label].name
            name = name if len(name) < 15 else name.replace(" [", "\n[")
            axes.set_title(f"{name}\n{100 * self.case.dices[label]:.1f}", fontsize=6.5, pad=2)

    def _draw_layers(self, axes: Axes, classes: np.ndarray) -> None:
        masks = list(self.iter_masks(classes))
        for mask, colour in zip(masks, _cycle_colours(len(masks)), strict=True):
            draw_outline(axes, mask, INK, CONTOUR_PT + 2 * EDGE_PT, "solid")
            draw_outline(axes, mask, colour, CONTOUR_PT, "solid")


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
