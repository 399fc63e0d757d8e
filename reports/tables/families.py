"""Rows in the families of their methods."""

from collections.abc import Sequence
from dataclasses import replace

from reports.names import FAMILIES, Names
from reports.records.run import REFERENCE, RunResult
from reports.tables.layout import REFERENCES
from reports.tables.view import View

OTHER = "other"


def find_families(results: Sequence[RunResult]) -> dict[str, str]:
    """Return the family of each method of the results; networks have none."""
    return {run.method: run.family or OTHER for run in results if run.kind != REFERENCE}


def group_by_family(view: View, results: Sequence[RunResult], names: Names) -> View:
    """Return the view with a group for each family, in their fixed order, networks at the end."""
    families = find_families(results)
    groups: dict[str, tuple[str, ...]] = {}
    for family in dict.fromkeys([*FAMILIES, *families.values()]):
        members = tuple(method for method, own in families.items() if own == family)
        if members:
            groups[names.find(family, FAMILIES.get(family, ""))] = members
    networks = tuple({run.method: None for run in results if run.kind == REFERENCE})
    if networks:
        groups[REFERENCES] = networks
    return replace(view, groups=groups)
