"""A picture that can be drawn, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.analysis.comparison import MethodComparison
from reports.tables.assemble import name_setting
from reports.tables.conditions import describe_tuning, warn_of_differences
from reports.tables.table import make_slug
from reports.tables.wording import describe_setting

if TYPE_CHECKING:  # a page of tables needs no Matplotlib
    from matplotlib.figure import Figure

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
