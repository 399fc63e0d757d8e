"""How all pictures look: one column of a paper wide, and one colour for a method in every picture.

Figures are made without pyplot, so that no window system is touched and none stays in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.names import BUILT_IN_NAMES, FAMILIES, Names

COLUMN_IN = 3.4  # width of one column of a two-column paper, in inches
INK, FAINT = "#262626", "#b5b5b5"  # text and lines; helper lines
# Okabe & Ito's palette, for the colour-blind, with Tol's wine instead of its yellow, which is too
# faint for lines, and of grey, which is hidden on the grey images of panels.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
INKED = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
SETTINGS: dict[Any, Any] = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(INKED, INK),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    "text.parse_math": False,  # a dollar in a name begins no formula
    "pdf.fonttype": 42,  # text stays text: journals ask for it
    "svg.fonttype": "none",
    "svg.hashsalt": "medtuning",  # equal pictures give equal files
}
SAVE: dict[str, dict[str, Any]] = {  # no date, so that equal figures give equal files
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": 200},
    "svg": {"metadata": {"Date": None}, "transparent": True},
}


def legend_label(name: str) -> str:
    """Return a name as a legend shows it; matplotlib hides those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere."""

    colour: str
    marker: str
    dash: Any
    filled: bool  # False: another setting of a method, in the method's own colour
    name: str  # as printed

    @property
    def line(self) -> dict[str, Any]:
        return {"color": self.colour, "linestyle": self.dash}

    @property
    def point(self) -> dict[str, Any]:
        face = self.colour if self.filled else "white"
        return {"marker": self.marker, "markerfacecolor": face, "markeredgecolor": self.colour}


Looks = Mapping[str, Look]  # by label


def assign_looks(
    methods: Iterable[tuple[str, str]],
    order: Sequence[str],
    names: Names = BUILT_IN_NAMES,
    families: Mapping[str, str] = MappingProxyType({}),
) -> Looks:
    """Return the look of each label of the pairs (method, label).

    It follows from the method's place in ``order``, all known methods, and is so the same in every
    report; others come after them, by name. With ``families`` (of methods), a family has one
    colour, and its methods have markers.
    """
    labels: dict[str, set[str]] = {}
    for method, label in methods:
        labels.setdefault(method, set()).add(label)
    places = [*order, *sorted(set(labels) - set(order))]
    looks = {}
    for name, mine in labels.items():
        rounds, place = divmod(places.index(name), len(COLOURS))
        if families:
            rounds, place = _place_in_family(name, places, families)
        for number, label in enumerate(sorted(mine, key=lambda label: (len(label), label))):
            marker = MARKERS[(place + rounds + number) % len(MARKERS)]
            dash = DASHES[(rounds + number) % len(DASHES)]
            shown = names.label(label)
            looks[label] = Look(COLOURS[place], marker, dash, filled=number == 0, name=shown)
    return looks


def _place_in_family(
    name: str, places: Sequence[str], families: Mapping[str, str]
) -> tuple[int, int]:
    """Return the number of a method in its family, and the place of the family's colour."""
    family = families.get(name, "")
    members = [each for each in places if families.get(each, "") == family]
    known = [*FAMILIES]
    number = known.index(family) if family in known else len(known)
    return members.index(name), number % len(COLOURS)


def new_figure(height_in: float) -> tuple[Figure, Axes]:
    """Return an empty figure of the common style with one set of axes."""
    figure = Figure(figsize=(COLUMN_IN, height_in), layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


def add_grid(axes: Axes, axis: Any = "both") -> None:
    """Draw faint lines behind the data."""
    axes.grid(visible=True, axis=axis, color=FAINT, linewidth=0.4, alpha=0.6)


def fix_layout(figure: Figure) -> None:
    """Lay the figure out once: with a layout engine every save would draw twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def save_figure(figure: Figure, file_format: str) -> bytes:
    """Return a pdf, png or svg: an ``<svg>`` without ground, in the ink of the text around it."""
    stream = BytesIO()
    figure.savefig(stream, format=file_format, **SAVE[file_format])
    content = stream.getvalue()
    if file_format == "svg":
        content = content[content.index(b"<svg") :].replace(INK.encode(), b"currentColor")
    return content
