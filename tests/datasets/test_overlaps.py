"""Which releases share cases: facts with a source, and what follows from them."""

from __future__ import annotations

import pytest

import datasets
from datasets.overlaps import CONTAINED, CONTAINS, EQUAL, FACTS, MAY_SHARE, SHARES, find_overlaps

OTHER_TUMOURS = ("ssa2023", "men2023", "met2023", "met2025", "ped2023", "ped2024", "goat2024")
INVERSE = {CONTAINS: CONTAINED, CONTAINED: CONTAINS}


def test_every_fact_is_about_releases_and_has_a_source() -> None:
    for fact in FACTS:
        assert {fact.release, fact.other} <= set(datasets.releases())
        assert fact.source


@pytest.mark.parametrize("name", datasets.names())
def test_releases_of_a_data_set_state_what_they_share(name: str) -> None:
    siblings = set(datasets.members_of(name)) - {name, *OTHER_TUMOURS}
    for release in siblings:
        assert set(find_overlaps(release)) >= siblings - {release}


def test_other_tumours_of_brats_share_with_the_mixture_alone() -> None:
    others = {release: set(find_overlaps(release)) for release in OTHER_TUMOURS}
    assert others == {
        "ssa2023": {"goat2024"},
        "men2023": {"goat2024"},
        "met2023": {"met2025", "goat2024"},
        "met2025": {"met2023"},
        "ped2023": {"ped2024", "goat2024"},
        "ped2024": {"ped2023"},
        "goat2024": {
            "brats2023",
            "brats2021",
            "fets2022",
            "ssa2023",
            "men2023",
            "met2023",
            "ped2023",
        },
    }


@pytest.mark.parametrize(
    ("first", "relation", "second"),
    [
        ("brats2020", CONTAINS, "brats2019"),
        ("brats2020", CONTAINS, "brats2018"),  # follows from two facts
        ("brats2018", CONTAINED, "brats2020"),
        ("brats2023", EQUAL, "brats2021"),
        ("fets2022", EQUAL, "brats2023"),
        ("brats2021", SHARES, "brats2020"),
        ("fets2022", MAY_SHARE, "fets2021"),  # both share cases with BraTS 2020
        ("msd01", SHARES, "brats2020"),  # which contains the release that it shares cases with
        ("brats2024", SHARES, "brats2025"),
        ("brats2025", SHARES, "brats2023"),
        ("brats2024", MAY_SHARE, "brats2021"),
        ("goat2024", MAY_SHARE, "men2023"),
        ("kits23", CONTAINS, "kits19"),
        ("msd03", EQUAL, "lits17"),
    ],
)
def test_relation_is_known_from_both_sides(first: str, relation: str, second: str) -> None:
    assert find_overlaps(first)[second] == relation
    assert find_overlaps(second)[first] == INVERSE.get(relation, relation)


def test_other_data_sets_share_nothing() -> None:
    assert set(find_overlaps("kits21")) == {"kits19", "kits23"}
    assert set(find_overlaps("lits17")) == {"msd03"}
    assert find_overlaps("spleen") == {}
