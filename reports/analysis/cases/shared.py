"""Which data sets of a comparison have cases in common, by what their runs recorded."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from reports.analysis.comparison import MethodComparison
from reports.records.release import ReleaseRecord


def describe_shared_cases(comparisons: Sequence[MethodComparison]) -> list[str]:
    """Return a sentence if some data sets are not independent of each other, else nothing."""
    releases: dict[str, ReleaseRecord | None] = {}
    for comparison in comparisons:
        found = [run.release for run in comparison.results if run.release is not None]
        releases.setdefault(comparison.setting.dataset, found[0] if found else None)
    relations = []
    titles = {each.setting.dataset: each.heading for each in comparisons}
    for first, second in combinations(releases, 2):
        relation = _relate(first, second, releases, titles)
        relation = relation or _relate(second, first, releases, titles)
        if relation:
            relations.append(relation)
    if not relations:
        return []
    return [f"The data sets are not independent of each other: {'; '.join(relations)}."]


def _relate(
    first: str, second: str, releases: Mapping[str, ReleaseRecord | None], titles: Mapping[str, str]
) -> str:
    """Return in words which cases of the second data set the first one has; empty: none."""
    release, other = releases[first], releases[second]
    if release is None:
        of_family = other is not None and other.family == first
        rule = "is of an unrecorded release and may share cases with"
        return f"{titles[first]} {rule} {titles[second]}" if of_family else ""
    relation = release.overlaps.get(second, "")
    return f"{titles[first]} {relation} {titles[second]}" if relation else ""
