"""A picture that can be drawn, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.intervals import LEAST_FOR_COVERAGE
from reports.analysis.tidy import MEAN
from reports.tables.assemble import name_setting
from reports.tables.conditions import describe_tuning, warn_of_differences
from reports.tables.kinds.differences import describe_unfinished
from reports.tables.table import make_slug
from reports.tables.undefined import OWN_CASES, describe_scopes
from reports.tables.wording import describe_setting

if TYPE_CHECKING:  # a page of tables needs no Matplotlib
    from matplotlib.figure import Figure

ROUGH = f"Of fewer than {LEAST_FOR_COVERAGE} cases, so that 95 % is not assured for the intervals."
ANEW = "95 % interval of the rank: from 1 + the number of methods that are better beyond chance."

Draw = Callable[[], "Figure"]
Compared = Sequence[MethodComparison]


@dataclass(frozen=True)
class Picture:
    """A picture that can be drawn."""

    slug: str  # names its file
    setting: str  # the heading above it
    title: str
    caption: str
    draw: Draw = field(repr=False)
    case: str = ""  # the first that it shows; the page has other panels of cases


Plan = Iterator[Picture]


@dataclass(frozen=True)
class Words:
    """What is said of a picture of methods."""

    name: str  # start of the slug
    title: str
    subject: str  # of the caption
    note: str = ""  # end of the caption

    def put_on(self, draw: Draw, comparisons: Compared, field: str = "dataset") -> Picture:
        """Return the picture, named by the first setting; the settings differ in ``field``."""
        setting = comparisons[0].setting
        sentences = [*describe_setting(comparisons, self.subject), self.note]
        sentences += describe_tuning(comparisons, field, mark="")
        sentences += warn_of_differences(comparisons, field)
        caption = " ".join(sentences)
        slug = make_slug(self.name, *name_setting(setting))
        return Picture(slug, comparisons[0].title, self.title, caption, draw)


def has_seeds(comparison: MethodComparison) -> bool:
    """Return whether runs differ in their seed."""
    return len({run.seed for run in comparison.results}) > 1


def describe_points(comparison: MethodComparison) -> str:
    """Return what the marks of a raincloud are, and of what."""
    averaged = ", averaged over its seeds" if has_seeds(comparison) else ""
    sentences = [f"Density, quartiles, and a point per held-out case{averaged}."]
    return " ".join([*sentences, *describe_compared(comparison)])


def describe_ranks(comparison: MethodComparison) -> str:
    """Return what an interval of ranks is, and of what."""
    return " ".join([ANEW, *describe_rough(comparison), *describe_compared(comparison)])


def describe_compared(comparison: MethodComparison) -> list[str]:
    """Return on which cases mean Dice is compared, and which methods are not in the picture."""
    scopes = describe_scopes([comparison], [f"dice/{MEAN}"])
    # what has cases of its own has no place in a picture
    return [*(each for each in scopes if each != OWN_CASES), *describe_unfinished(comparison)]


def describe_rough(comparison: MethodComparison) -> list[str]:
    """Return a warning if there are few cases for intervals."""
    return [ROUGH] if len(comparison.scores) < LEAST_FOR_COVERAGE else []


def describe_band(comparison: MethodComparison) -> str:
    """Return what the lines of learning curves are of."""
    if comparison.rows["n_runs"].max() > 1:
        return "Mean over folds and seeds; the band is from the lowest to the highest run."
    return "One run per method."
