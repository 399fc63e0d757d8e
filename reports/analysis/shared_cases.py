"""Which data sets of a comparison have cases in common, by what their runs recorded."""

from collections.abc import Sequence
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
    for first, second in combinations(releases, 2):
        relation = _relate(first, releases[first], second, releases[second])
        relation = relation or _relate(second, releases[second], first, releases[first])
        if relation:
            relations.append(relation)
    if not relations:
        return []
    return [f"The data sets are not independent of each other: {'; '.join(relations)}."]


def _relate(
    first: str, release: ReleaseRecord | None, second: str, other: ReleaseRecord | None
) -> str:
    """Return in words which cases of the second data set the first one has; empty: none."""
    title = other.title if other else second
    if release is None:
        of_family = other is not None and other.family == first
        unknown = f"{first} is of an unrecorded release and may share cases with {title}"
        return unknown if of_family else ""
    relation = release.overlaps.get(second, "")
    return f"{release.title} {relation} {title}" if relation else ""
