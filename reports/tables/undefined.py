"""The sentences about scores that are undefined in some cases: who is compared, on which cases."""

from collections.abc import Sequence
from math import inf

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import list_shown, score_keys
from reports.analysis.scopes import LARGEST_GAP, LEAST_SHARE, Scope
from reports.analysis.tidy import MEAN
from reports.records.metrics import METRICS
from reports.tables.layout import is_of_own_cases

OWN_CASES = (
    "A number with (a of b) is a mean over a of b cases: not comparable with the others, not "
    "ranked."
)
RULE = (
    "A method is not ranked for a score if its misses or false alarms take more cases out of the "
    f"comparison than those of the best method and {LARGEST_GAP:.0%} of the cases, or than "
    f"{1 - LEAST_SHARE:.0%} of them."
)


def describe_scopes(
    comparisons: Sequence[MethodComparison], keys: Sequence[str] | None = None
) -> list[str]:
    """Return on which cases and methods the scores are compared, where it is not all.

    ``keys`` are those of the shown scores; None: those of the main table.
    """
    sentences: dict[str, None] = {}
    for comparison in comparisons:
        if comparison.penalty_mm is not None:
            sentences[_describe_penalty(comparison.penalty_mm)] = None
        for key in list_shown(comparison.regions) if keys is None else keys:
            scope = comparison.scopes.get(key)
            if scope is not None and scope.candidates and scope.is_partial:
                sentences[_describe_scope(comparison, key, scope)] = None
                if scope.left_out:
                    sentences[RULE] = None
            if any(is_of_own_cases(comparison, row, key) for row in range(len(comparison.rows))):
                sentences[OWN_CASES] = None
    return list(sentences)


def _describe_penalty(penalty_mm: float) -> str:
    titles = [metric.title for metric in METRICS.values() if metric.upper == inf]
    return f"{', '.join(titles)} of a miss that the policy leaves undefined: {penalty_mm:g} mm."


def _describe_scope(comparison: MethodComparison, key: str, scope: Scope) -> str:
    metric, region = score_keys(comparison.regions)[key]
    names = comparison.names
    of_region = "" if region == MEAN else f" of {names.find(region)}"
    what = f"{metric.title}{of_region} on {comparison.heading}"
    if not scope.ranked:
        return f"{what}: no method is ranked, too few cases have a value of every method."
    not_ranked = ", ".join(map(names.label, scope.left_out))
    left_out = f"; not ranked: {not_ranked}" if not_ranked else ""
    cases = f"{len(scope.cases)} of {scope.n_cases} cases"
    return f"{what}: compared on the {cases} in which every ranked method has a value{left_out}."
