"""Which releases of the public data sets have cases in common, and where that is stated.

A case keeps its name in KiTS. BraTS, FeTS, MSD and LiTS give it a new one in each release, so that
ids do not show what two roots share.
"""

from collections.abc import Collection
from dataclasses import dataclass

CONTAINS, CONTAINED = "contains", "is contained in"
EQUAL = "has the same cases as"
SHARES = "shares cases with"
MAY_SHARE = "may share patients with"  # no document tells
DRAWS = "draws cases from"  # under new names; says nothing of other releases


@dataclass(frozen=True)
class Fact:
    """What one release has of another, of the cases with a public label."""

    release: str
    relation: str  # any but `CONTAINED`
    other: str
    source: str


MAPPING = "name_mapping.csv of BraTS 2020, with each case's names in 2017, 2018 and 2019"
MAPPING_2021 = "BraTS21-17_Mapping.csv of BraTS 2021, with names of 2017 to 2020"
GOAT = "evaluation of BraTS-GoAT 2024, which maps each case to a cohort of BraTS 2023"
FACTS = (
    Fact("brats2020", CONTAINS, "brats2019", MAPPING),
    Fact("brats2019", CONTAINS, "brats2018", MAPPING),
    Fact("brats2021", SHARES, "brats2020", MAPPING_2021),
    Fact("brats2021", SHARES, "brats2018", MAPPING_2021),
    Fact("brats2023", EQUAL, "brats2021", "challenge design of BraTS 2023, task 1"),
    Fact("fets2021", SHARES, "brats2020", "Pati et al. 2021, arXiv 2105.05874, abstract"),
    Fact("fets2022", EQUAL, "brats2021", "Zenk et al. 2025, Nat. Commun. 16:6274, table 3"),
    Fact("brats2018", SHARES, "brats2017", MAPPING),
    Fact("brats2024", MAY_SHARE, "brats2023", "both number patients as BraTS-GLI-00000"),
    Fact("brats2025", SHARES, "brats2023", "names of its cases before treatment"),
    Fact("brats2025", SHARES, "brats2024", "names of its cases after treatment"),
    Fact("met2025", MAY_SHARE, "met2023", "both number patients as BraTS-MET-00000"),
    Fact("ped2024", MAY_SHARE, "ped2023", "both number patients as BraTS-PED-00000"),
    Fact("goat2024", DRAWS, "brats2023", GOAT),
    Fact("goat2024", DRAWS, "ssa2023", GOAT),
    Fact("goat2024", DRAWS, "men2023", GOAT),
    Fact("goat2024", DRAWS, "met2023", GOAT),
    Fact("goat2024", DRAWS, "ped2023", GOAT),
    Fact("msd01", SHARES, "brats2018", "Antonelli et al. 2022, Nature Communications 13:4128"),
    Fact("kits21", CONTAINS, "kits19", "Heller et al. 2023, arXiv 2307.01984"),
    Fact("kits23", CONTAINS, "kits21", "neheller/kits23, TRAINING_CASE_NUMBERS"),
    Fact("msd03", EQUAL, "lits17", "Antonelli et al. 2022, Nature Communications 13:4128"),
)


def find_overlaps(release: str) -> dict[str, str]:
    """Return each other release that has cases in common, and the relation to it.

    What follows from several facts is included: a release contains what its parts contain, and may
    share patients with any release that a chain of facts leads to.
    """
    mine = _parts_of(release)
    chained = _follow(release, (CONTAINS, EQUAL, SHARES, MAY_SHARE), back=True)
    found = {}
    names = sorted({name for fact in FACTS for name in (fact.release, fact.other)} - {release})
    for other in names:
        theirs = _parts_of(other)
        if other in mine and release in theirs:
            found[other] = EQUAL
        elif other in mine:
            found[other] = CONTAINS
        elif release in theirs:
            found[other] = CONTAINED
        elif mine & theirs or _are_linked(mine, theirs, SHARES):
            found[other] = SHARES
        elif _are_linked(mine, theirs, DRAWS) or other in chained:
            found[other] = MAY_SHARE
    return found


def _parts_of(release: str) -> set[str]:
    """Return the release and every release that it contains as a whole."""
    return _follow(release, (CONTAINS, EQUAL), back=False)


def _follow(release: str, relations: Collection[str], *, back: bool) -> set[str]:
    """Return the releases that facts lead to; also against their direction, if ``back``."""
    reached = {release}
    size = 0
    while size < len(reached):
        size = len(reached)
        for fact in FACTS:
            if fact.relation not in relations:
                continue
            if fact.release in reached:
                reached.add(fact.other)
            if fact.other in reached and (back or fact.relation == EQUAL):
                reached.add(fact.release)
    return reached


def _are_linked(first: set[str], second: set[str], relation: str) -> bool:
    """Return whether a release of either set is in a relation to one of the other."""
    for fact in FACTS:
        forth = fact.release in first and fact.other in second
        back = fact.release in second and fact.other in first
        if fact.relation == relation and (forth or back):
            return True
    return False
