"""How all pictures look: one column of a paper wide, and one look of a method in every picture.

Figures are made without pyplot, so that no window system is touched and none stays in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.names import BUILT_IN_NAMES, FAMILIES, Names

COLUMN_IN = 3.4  # width of one column of a two-column paper, in inches
TEXT_IN = 7.0  # width of both columns
LEGEND_ROW_IN = 0.155
INK, FAINT = "#262626", "#b5b5b5"  # text and lines; helper lines
# Of the families, in their order. Their lightness (L* of CIELAB) is 7 apart, so that they differ in
# grey; hues are the furthest apart for readers of usual and of colour-blind sight.
COLOURS = (
    *("#000094", "#BBA7FA", "#005143", "#9A9009", "#F8B5B9"),
    *("#4E3100", "#BC0FB1", "#E91983", "#2F37F2", "#FC776E"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
DASHES: tuple[Any, ...] = (
    *("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))),
    *((0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (2, 3)), (0, (8, 2, 2, 2))),
    *((0, (1, 3)), (0, (5, 1, 1, 1, 1, 1, 1, 1))),
)
OTHER = "other"  # the family of a method without one
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
    methods: Iterable[tuple[str, str]], families: Mapping[str, str], names: Names = BUILT_IN_NAMES
) -> Looks:
    """Return the look of each label of the pairs (method, label).

    A family has one colour, its methods have markers and dashes. They follow from the place of a
    method among those of its family, and are so the same in every report. A method without a family
    is among the others.

    Args:
        methods: pairs of a method and a label of it.
        families: of all known methods, in their fixed order.
        names: how labels are printed.
    """
    labels: dict[str, set[str]] = {}
    for method, label in methods:
        labels.setdefault(method, set()).add(label)
    places = [*families, *sorted(set(labels) - set(families))]
    looks = {}
    for name, mine in labels.items():
        family = _find_family(name, families)
        members = [each for each in places if _find_family(each, families) == family]
        member = members.index(name)
        colour = COLOURS[[*FAMILIES].index(family)]
        for number, label in enumerate(sorted(mine, key=lambda label: (len(label), label))):
            marker = MARKERS[(member + number) % len(MARKERS)]
            dash = DASHES[(member + number) % len(DASHES)]
            looks[label] = Look(colour, marker, dash, filled=number == 0, name=names.label(label))
    return looks


def _find_family(method: str, families: Mapping[str, str]) -> str:
    family = families.get(method, OTHER)
    return family if family in FAMILIES else OTHER


def new_figure(height_in: float, width_in: float = COLUMN_IN) -> tuple[Figure, Axes]:
    """Return an empty figure of the common style with one set of axes."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


def add_grid(axes: Axes, axis: Any = "both") -> None:
    """Draw faint lines behind the data."""
    axes.grid(visible=True, axis=axis, color=FAINT, linewidth=0.4, alpha=0.6)


def count_legend_columns(names: Sequence[str]) -> int:
    """Return how many names are side by side below a picture of one column of a paper."""
    return 3 if max(map(len, names)) < 16 else 2


def legend_height(names: Sequence[str]) -> float:
    """Return how much higher a picture is by the legend of `add_legend`, in inches."""
    return LEGEND_ROW_IN * ceil(len(names) / count_legend_columns(names)) + 0.1


def add_legend(figure: Figure, axes: Axes) -> None:
    """Name what is drawn on the axes, below the picture."""
    handles, labels = axes.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": count_legend_columns(labels)}
    figure.legend(handles, labels, **place, frameon=False, handlelength=2.2)


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
