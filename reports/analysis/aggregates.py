"""From the scores of cases to one line per region: means with their n, and counts of empty masks.

A mean over cases hides how often a policy for empty masks decided the score. So each mean is given
twice: under the policy, and over the cases whose reference is not empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from statistics import fmean

from reports.records.metrics import METRICS
from reports.records.plain import INLINE
from reports.records.run import CaseScore


@dataclass(frozen=True)
class Mean:
    """A mean over the cases in which it is defined; nan if there is none."""

    value: float
    n: int


@dataclass(frozen=True)
class MetricMeans:
    """One metric of a region: over all cases, and over those whose reference is not empty."""

    all: Mean
    non_empty: Mean


@dataclass(frozen=True)
class RegionAggregate:
    """A region over the cases of one scoring."""

    region: str
    n_cases: int
    n_both_empty: int
    n_reference_empty: int  # but not the prediction: a false alarm
    n_prediction_empty: int  # but not the reference: a miss
    means: Mapping[str, MetricMeans] = field(metadata=INLINE)  # by the name of the metric
    global_dice: float  # of the voxels of all cases together (LiTS); nan if there are none


def mean_defined(values: Iterable[float]) -> Mean:
    """Return the mean of the values that are not nan."""
    defined = [value for value in values if not isnan(value)]
    return Mean(fmean(defined) if defined else nan, len(defined))


def is_undefined(row: CaseScore, metric: str) -> bool:
    """Return whether a metric has no value although the reference has the region."""
    return isnan(row.score(metric)) and row.n_reference_vox > 0


def share_defined(rows: Sequence[CaseScore], metric: str) -> float:
    """Return the share of rows with a value, of those with a value or a reference; nan if none."""
    n_defined = sum(not isnan(row.score(metric)) for row in rows)
    n_all = n_defined + sum(is_undefined(row, metric) for row in rows)
    return n_defined / n_all if n_all else nan


def aggregate_regions(rows: Iterable[CaseScore]) -> list[RegionAggregate]:
    """Return one aggregate per region, in the order in which the regions first appear."""
    groups: dict[str, list[CaseScore]] = {}
    for row in rows:
        groups.setdefault(row.region, []).append(row)
    return [_aggregate(region, group) for region, group in groups.items()]


def _aggregate(region: str, rows: Sequence[CaseScore]) -> RegionAggregate:
    empties = [(not row.n_reference_vox, not row.n_predicted_vox) for row in rows]
    total_vox = sum(row.n_reference_vox + row.n_predicted_vox for row in rows)
    return RegionAggregate(
        region=region,
        n_cases=len(rows),
        n_both_empty=empties.count((True, True)),
        n_reference_empty=empties.count((True, False)),
        n_prediction_empty=empties.count((False, True)),
        means={metric: average_metric(rows, metric) for metric in METRICS},
        global_dice=2 * sum(row.n_common_vox for row in rows) / total_vox if total_vox else nan,
    )


def average_metric(rows: Sequence[CaseScore], metric: str) -> MetricMeans:
    """Return the means of one metric over all rows and over those with a reference."""
    return MetricMeans(
        all=mean_defined(row.score(metric) for row in rows),
        non_empty=mean_defined(row.score(metric) for row in rows if row.n_reference_vox),
    )
