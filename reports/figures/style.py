"""How all pictures look: sizes that fit one column of a paper, and one colour for a method in every picture.

Figures are made without pyplot, so that no window system is touched and none stays in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN_IN = 3.4  # width of one column of a two-column paper, in inches
INK, FAINT = "#262626", "#b5b5b5"  # text and lines; helper lines
# Okabe & Ito's palette, which the colour-blind can tell apart, without its yellow, which is too
# faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text: journals ask for it
    "svg.fonttype": "none",
    "svg.hashsalt": "medtuning",  # equal pictures give equal files
}
PNG_DPI = 200


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere."""

    colour: str
    marker: str
    dash: Any
    filled: bool  # False: another setting of a method, in the method's own colour

    @property
    def point(self) -> dict[str, Any]:
        """Return the arguments of a marker."""
        return {
            "marker": self.marker,
            "markerfacecolor": self.colour if self.filled else "white",
            "markeredgecolor": self.colour,
        }


@dataclass(frozen=True)
class Looks:
    """The look of each label of the results."""

    of: Mapping[str, Look] = field(default_factory=dict)

    def __getitem__(self, label: str) -> Look:
        return self.of[label]


def assign_looks(methods: Iterable[tuple[str, str]], order: Sequence[str]) -> Looks:
    """Return the look of each label of the pairs (method, label).

    It follows from the method's place in ``order`` (all methods there are), so that a method has it
    in every report, whatever it is shown with. Methods that are not in there come after, by name.
    """
    labels: dict[str, set[str]] = {}
    for method, label in methods:
        labels.setdefault(method, set()).add(label)
    places = [*order, *sorted(set(labels) - set(order))]
    looks = {}
    for name, mine in labels.items():
        place = places.index(name)
        rounds = place // len(COLOURS)
        for number, label in enumerate(sorted(mine, key=lambda label: (len(label), label))):
            looks[label] = Look(
                colour=COLOURS[place % len(COLOURS)],
                marker=MARKERS[(place + rounds + number) % len(MARKERS)],
                dash=DASHES[(rounds + number) % len(DASHES)],
                filled=number == 0,
            )
    return Looks(looks)


def new_figure(height_in: float, width_in: float = COLUMN_IN) -> tuple[Figure, Axes]:
    """Return an empty figure of the common style with one set of axes."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


def add_grid(axes: Axes, axis: Any = "both") -> None:
    """Draw faint lines behind the data."""
    axes.grid(visible=True, axis=axis, color=FAINT, linewidth=0.4, alpha=0.6)


def style() -> Any:
    """Return a context in which figures are drawn and saved."""
    return mpl.rc_context(SETTINGS)


def fix_layout(figure: Figure) -> None:
    """Lay the figure out now and never again: with a layout engine every save would draw twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def save_pdf(figure: Figure) -> bytes:
    """Return the figure as PDF, without the date, so that equal figures give equal files."""
    stream = BytesIO()
    figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    return stream.getvalue()


def save_png(figure: Figure) -> bytes:
    """Return the figure as PNG."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=PNG_DPI)
    return stream.getvalue()


def save_svg(figure: Figure) -> bytes:
    """Return the figure as an ``<svg>`` element without ground, whose ink is the colour of the text around it."""
    stream = StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor").encode()
