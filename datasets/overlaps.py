"""Which releases of the public data sets have cases in common, and where that is stated.

A case keeps its name in KiTS. BraTS, FeTS, MSD and LiTS give it a new one in each release, so that
ids do not show what two roots share.
"""

from dataclasses import dataclass

CONTAINS, CONTAINED = "contains", "is contained in"
EQUAL = "has the same cases as"
SHARES = "shares cases with"
MAY_SHARE = "may share patients with"  # they are named alike, and no document tells them apart


@dataclass(frozen=True)
class Fact:
    """What one release has of another, of the cases with a public label."""

    release: str
    relation: str  # any but `CONTAINED`
    other: str
    source: str


MAPPING = "name_mapping.csv of BraTS 2020, with each case's names in 2017, 2018 and 2019"
FACTS = (
    Fact("brats2020", CONTAINS, "brats2019", MAPPING),
    Fact("brats2019", CONTAINS, "brats2018", MAPPING),
    Fact("brats2021", SHARES, "brats2020", "Baid et al. 2021, arXiv 2107.02314"),
    Fact("brats2023", EQUAL, "brats2021", "challenge design of BraTS 2023, task 1"),
    Fact("fets2021", SHARES, "brats2020", "Pati et al. 2021, arXiv 2105.05874, abstract"),
    Fact("fets2022", EQUAL, "brats2021", "Zenk et al. 2025, Nat. Commun. 16:6274, table 3"),
    Fact("brats2024", MAY_SHARE, "brats2023", "both number patients as BraTS-GLI-00000"),
    Fact("msd01", SHARES, "brats2018", "Antonelli et al. 2022, Nature Communications 13:4128"),
    Fact("kits21", CONTAINS, "kits19", "Heller et al. 2023, arXiv 2307.01984"),
    Fact("kits23", CONTAINS, "kits21", "neheller/kits23, TRAINING_CASE_NUMBERS"),
    Fact("msd03", EQUAL, "lits17", "Antonelli et al. 2022, Nature Communications 13:4128"),
)


def find_overlaps(release: str) -> dict[str, str]:
    """Return each other release that has cases in common, and the relation to it.

    What follows from two facts is included: a release contains what its parts contain.
    """
    mine = _parts_of(release)
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
        elif _are_linked(mine, theirs, MAY_SHARE):
            found[other] = MAY_SHARE
    return found


def _parts_of(release: str) -> set[str]:
    """Return the release and every release that it contains as a whole."""
    parts = {release}
    size = 0
    while size < len(parts):
        size = len(parts)
        for fact in FACTS:
            if fact.relation in (CONTAINS, EQUAL) and fact.release in parts:
                parts.add(fact.other)
            if fact.relation == EQUAL and fact.other in parts:
                parts.add(fact.release)
    return parts


def _are_linked(first: set[str], second: set[str], relation: str) -> bool:
    for fact in FACTS:
        if fact.relation != relation:
            continue
        forth = fact.release in first and fact.other in second
        back = fact.release in second and fact.other in first
        if forth or back:
            return True
    return False
