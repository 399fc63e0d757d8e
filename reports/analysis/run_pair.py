"""Two runs side by side: in which fields they differ, and by how much on each case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.analysis.statistics import (
    Interval,
    bootstrap_mean,
    cohen_dz,
    least_cases,
    rank_biserial,
    signed_rank_p,
)
from reports.analysis.tidy import average_seeds, case_table
from reports.records.plain import flatten
from reports.records.run import RunResult

ABSENT = "(none)"
# Facts of the machine that differ from run to run and decide nothing.
INCIDENTAL = ("started_at", "ended_at", "wall_s")


@dataclass(frozen=True)
class FieldDifference:
    """One field in which two runs differ; ``group`` is run, protocol or environment."""

    group: str
    field: str
    first: str
    second: str


@dataclass(frozen=True)
class RegionDifference:
    """Dice of the second run minus the first over the common cases, in fractions; ``p`` is None for too few cases."""

    region: str
    n: int
    first: float
    second: float
    interval: Interval
    p: float | None
    rank_biserial: float
    cohen_dz: float


def list_differences(first: RunResult, second: RunResult) -> Iterator[FieldDifference]:
    """Yield the fields of spec, protocol and environment in which two runs differ."""
    for group, one, two in (
        ("run", _describe_run(first), _describe_run(second)),
        ("protocol", flatten(first.protocol), flatten(second.protocol)),
        ("environment", flatten(_lasting(first)), flatten(_lasting(second))),
    ):
        for key in dict.fromkeys([*one, *two]):
            values = [str(record.get(key, ABSENT)) for record in (one, two)]
            if values[0] != values[1]:
                yield FieldDifference(group, key, *values)


def _describe_run(run: RunResult) -> dict[str, Any]:
    names = (
        "method",
        "dataset",
        "backbone",
        "weights",
        "fold",
        "seed",
        "status",
        "study",
        "protocol_id",
    )
    data = ("split_hash", "data_fingerprint", "weights_sha256", "empty_policy", "best_epoch")
    return {name: getattr(run, name) for name in (*names, *data)} | flatten(
        {"method": run.settings}
    )


def _lasting(run: RunResult) -> dict[str, Any]:
    return {key: value for key, value in run.provenance.items() if key not in INCIDENTAL}


def pair_cases(first: RunResult, second: RunResult) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the Dice of both runs, each (common cases x regions and mean).

    Raises: ValueError if they have no case or no region in common.
    """
    one, two = (
        average_seeds(case_table([run])).droplevel("method") if run.cases else None
        for run in (first, second)
    )
    if one is None or two is None:
        run = first if one is None else second
        raise ValueError(
            f"compare: a run must have scores, got {run.run_id}, which ended {run.status}"
        )
    cases = [case for case in one.index if case in two.index]
    regions = [region for region in one.columns if region in two.columns]
    if not cases or first.dataset != second.dataset or len(regions) < 2:
        raise ValueError(
            f"compare: two runs must have held-out cases in common, got {first.run_id} on {first.dataset}, fold "
            f"{first.fold}, and {second.run_id} on {second.dataset}, fold {second.fold}"
        )
    return one.loc[cases, regions], two.loc[cases, regions]


def compare_regions(one: pd.DataFrame, two: pd.DataFrame) -> list[RegionDifference]:
    """Return a line per region, the mean last, of what `pair_cases` gave."""
    found = []
    for region in one.columns:
        pairs = pd.DataFrame({"one": one[region], "two": two[region]}).dropna()
        values = (pairs["two"] - pairs["one"]).to_numpy(float)
        enough = values.size >= least_cases(1)
        found.append(
            RegionDifference(
                region=str(region),
                n=int(values.size),
                first=float(pairs["one"].mean()),
                second=float(pairs["two"].mean()),
                interval=bootstrap_mean(values),
                p=signed_rank_p(values) if enough else None,
                rank_biserial=rank_biserial(values),
                cohen_dz=cohen_dz(values),
            )
        )
    return found
