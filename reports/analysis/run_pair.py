"""Two runs side by side: the fields in which they differ, and the differences on each case."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.analysis.statistics import PairedTest, compare_pairs
from reports.analysis.tidy import average_pair, case_table
from reports.records.plain import flatten
from reports.records.run import RunResult

ABSENT = "(none)"
SPEC = ("method", "dataset", "backbone", "weights", "fold", "seed", "status", "study")
DATA = ("split_hash", "data_fingerprint", "weights_sha256", "empty_policy", "best_epoch")
# Facts of the machine that differ from run to run and decide nothing.
INCIDENTAL = ("started_at", "ended_at", "wall_s")


@dataclass(frozen=True)
class FieldDifference:
    """One field in which two runs differ."""

    group: str  # "run", "protocol" or "environment"
    field: str
    first: str
    second: str


def list_differences(first: RunResult, second: RunResult) -> Iterator[FieldDifference]:
    """Yield the fields in which two runs differ."""
    of_first, of_second = _group_fields(first), _group_fields(second)
    for group in of_first:
        left, right = flatten(of_first[group]), flatten(of_second[group])
        for key in dict.fromkeys([*left, *right]):
            values = str(left.get(key, ABSENT)), str(right.get(key, ABSENT))
            if values[0] != values[1]:
                yield FieldDifference(group, key, *values)


def _group_fields(run: RunResult) -> dict[str, dict[str, Any]]:
    facts = run.provenance | {"n_devices": run.n_devices}
    lasting = {key: facts[key] for key in facts if key not in INCIDENTAL}
    described = {name: getattr(run, name) for name in (*SPEC, "protocol_id", *DATA)}
    settings = {f"method.{name}": value for name, value in run.settings.items()}
    return {"run": described | settings, "protocol": run.protocol, "environment": lasting}


def pair_cases(first: RunResult, second: RunResult) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the Dice of both runs, each (common cases x regions and mean).

    Raises: ValueError if they have no case or no region in common.
    """
    tables = []
    for run in (first, second):
        if not run.cases:
            got = f"{run.run_id}, which ended {run.status}"
            raise ValueError(f"compare: a run must have scores, got {got}")
        tables.append(case_table([run]))
    frames = average_pair(tables[0], tables[1])
    cases = [case for case in frames[0].index if case in frames[1].index]
    regions = [region for region in frames[0].columns if region in frames[1].columns]
    if not cases or first.dataset != second.dataset or len(regions) < 2:
        places = [f"{run.run_id} on {run.dataset}, fold {run.fold}" for run in (first, second)]
        rule = "two runs must have held-out cases in common"
        raise ValueError(f"compare: {rule}, got {', and '.join(places)}")
    return frames[0].loc[cases, regions], frames[1].loc[cases, regions]


def count_undefined(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return by region in how many cases the runs have no score; regions without are left out.

    The frames are those of `pair_cases`. These cases are in no mean and no test of the pair.
    """
    found = {}
    for region in first.columns:
        counts = int(first[region].isna().sum()), int(second[region].isna().sum())
        if any(counts):
            found[str(region)] = counts
    return found


def compare_regions(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, PairedTest]:
    """Return the test of each region, the mean last, for the frames of `pair_cases`."""
    return {str(region): compare_pairs(first[region], second[region]) for region in first.columns}
