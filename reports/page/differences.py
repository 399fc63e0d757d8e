"""Differences of mean Dice between methods, with intervals, for the page."""

from collections.abc import Sequence
from math import isnan
from typing import Any

from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.contrasts import Sample
from reports.records.run import REFERENCE
from reports.tables.kinds.noninferiority import FULL

MOST_METHODS = 40  # with every pair; of more only the differences to the first
DIGITS = 2  # of percentage points


def list_differences(comparison: MethodComparison) -> dict[str, Any] | None:
    """Return the paired differences of a setting in points of Dice; None without two methods.

    A row has the numbers of two methods, the mean of the first less the second, and the ends of
    its 95 % interval, which are None where there are too few cases.
    """
    sample = Sample.of(comparison.scores, comparison.runs)
    labels = list(map(str, sample.scores.columns))
    if comparison.mixed or len(labels) < 2:
        return None
    rows = []
    for second in range(1 if len(labels) > MOST_METHODS else len(labels)):
        for first in range(second + 1, len(labels)):
            contrast = sample.contrast(labels[first], labels[second])
            found = sample.estimate(contrast).interval()
            rows.append([first, second, *map(_round, (found.value, found.low, found.high))])
    return {
        "labels": labels,
        "methods": list(map(comparison.names.label, labels)),
        "first": _find_reference(comparison, labels),
        "n_cases": int(sample.n_cases),
        "n_trainings": int(sample.n_trainings),
        "rows": rows,
    }


def _find_reference(comparison: MethodComparison, labels: Sequence[str]) -> int:
    """Return the number of the method that differences are to before another is chosen."""
    if len(labels) > MOST_METHODS:
        return 0
    methods = {run.label: run.method for run in comparison.results if run.kind != REFERENCE}
    for number, label in enumerate(labels):
        if methods.get(label) == FULL:
            return number
    return 0


def _round(value: float) -> float | None:
    return None if isnan(value) else round(100 * float(value), DIGITS)
