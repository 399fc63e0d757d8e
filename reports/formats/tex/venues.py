"""Where a table is printed: how much room there is, how large its letters are, its packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Venue:
    """A document class; lengths are in pt (1/72.27 inch)."""

    name: str
    document: str  # the class, with its options
    text_pt: float  # width of the text
    height_pt: float  # of the text
    sizes_pt: tuple[float, ...]  # of letters in tables, the first that fits
    caption_pt: float  # size of letters in captions
    column_pt: float = 0.0  # width of one of two columns; 0: one column

    def caption_width_pt(self, in_column: bool, turned: bool) -> float:
        """Return how wide a caption is."""
        if turned:
            return self.height_pt
        return self.column_pt if in_column else self.text_pt


_ALL = (
    # fits into article with one and with two columns
    Venue("article", r"\documentclass{article}", 345, 550, (9, 8, 7), 10),
    Venue("ieee", r"\documentclass{IEEEtran}", 516, 696, (8, 7), 9.5, 252),
    Venue("lncs", r"\documentclass{llncs}", 347, 549, (9, 8, 7), 9),
    Venue("elsevier", r"\documentclass{elsarticle}", 345, 550, (9, 8, 7), 10),
    Venue("midl", r"\documentclass[pmlr]{jmlr}", 433, 614, (9, 8, 7), 11),
)
VENUES: Mapping[str, Venue] = MappingProxyType({venue.name: venue for venue in _ALL})
ARTICLE = VENUES["article"]


@dataclass(frozen=True)
class Printing:
    """How tables are printed."""

    venue: Venue = ARTICLE
    caption: str = ""  # instead of the program's; warnings stay
    label: str = ""  # instead of ``tab:`` and the slug
