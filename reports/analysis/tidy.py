"""One long table behind every number: a row per run, case and region, checked once, and how it is folded up.

The order is always the same: a case's scores are averaged over its seeds; folds then put their
cases together (each case is held out once); statistics see one number per case and method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from reports.records.metrics import METRICS
from reports.records.run import CaseScore, RunResult, Status, list_further

MEAN = "mean"  # stands in a region's place for the mean over the regions


@dataclass(frozen=True)
class Setting:
    """What methods are compared under: one table of methods, or one group of columns."""

    dataset: str
    backbone: str
    weights: str
    shots: int | None = None  # training cases of a k-shot protocol; None: all

    def __str__(self) -> str:
        """Return the words that messages and titles name it by."""
        few = "" if self.shots is None else f", {self.shots} training cases"
        return f"{self.dataset} on {self.backbone} ({self.weights}{few})"


def setting_of(result: RunResult) -> Setting:
    """Return the setting of a run."""
    return Setting(result.dataset, result.backbone, result.weights, _shots(result.protocol))


def _shots(protocol: Mapping[str, Any]) -> int | None:
    return protocol.get("data", {}).get("shots") or None


def group_by_setting(results: Iterable[RunResult]) -> dict[Setting, list[RunResult]]:
    """Return the runs of each setting, in the order in which settings first appear."""
    groups: dict[Setting, list[RunResult]] = {}
    for result in results:
        groups.setdefault(setting_of(result), []).append(result)
    return groups


def case_table(results: Sequence[RunResult]) -> pd.DataFrame:
    """Return one row per run, case and region: the primary result, from which all else is computed.

    ``method`` is the label with the settings; ``dice`` and ``nsd`` are fractions.

    Raises: ValueError if a score is infinite or outside of its range; nan stands for "not defined"
    and is kept.
    """
    runs = [
        {
            "run_id": result.run_id,
            **asdict(setting_of(result)),
            "protocol_id": result.protocol_id,
            "synthetic": result.synthetic,
            "method": result.label,
            "fold": result.fold,
            "seed": result.seed,
        }
        for result in results
    ]
    scores = [score for result in results for score in result.cases]
    names = [item.name for item in fields(CaseScore) if item.name != "further"]
    columns = {name: [getattr(score, name) for score in scores] for name in names}
    columns |= {name: [score.score(name) for score in scores] for name in list_further()}
    of_run = np.repeat(np.arange(len(runs)), [len(result.cases) for result in results])
    table = pd.DataFrame(runs).iloc[of_run].reset_index(drop=True).join(pd.DataFrame(columns))
    for name, metric in METRICS.items():
        _check(table, name, metric.upper)
    return table


def _check(table: pd.DataFrame, metric: str, upper: float) -> None:
    values = table[metric]
    wrong = table[(values < 0) | (values > upper) | np.isinf(values)]
    if len(wrong):
        first = wrong.iloc[0]
        where = f"report: {metric} of case {first['case']}, region {first['region']}, in run {first['run_id']}"
        rule = "a finite number >= 0" if upper == inf else f"between 0 and {upper:g}"
        raise ValueError(f"{where} must be {rule} or nan, got {first[metric]} (repeat the run)")


def average_seeds(table: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per (method, case) and one column per region and for `MEAN`, each case averaged over its seeds.

    The mean over the regions is that of the defined ones. ``table`` is a `case_table` of one
    setting.
    """
    averaged = (
        table.groupby(["method", "case", "region"], sort=False)[metric].mean().unstack("region")
    )
    wide = averaged[list(dict.fromkeys(table["region"]))]
    return wide.assign(**{MEAN: wide.mean(axis="columns")})


def score_matrix(
    results: Sequence[RunResult], metric: str = "dice", region: str = MEAN
) -> pd.DataFrame:
    """Return (cases x methods) of one setting, seeds averaged, folds put together: what statistics are made from.

    Only runs that are done count; a case that a method has not seen, or whose score is not defined,
    is nan.

    Raises: ValueError as `case_table` does; KeyError if no run has the region.
    """
    done = [result for result in results if result.status == Status.DONE]
    if not any(result.cases for result in done):
        return pd.DataFrame()
    scores = average_seeds(case_table(done), metric)[region].unstack("method")
    methods = [label for label in dict.fromkeys(result.label for result in done) if label in scores]
    return scores[methods].sort_index()


def check_cases(results: Sequence[RunResult], *, intersection: bool = False) -> list[RunResult]:
    """Return the results with equal cases in the runs of a fold, or refuse them.

    With ``intersection`` every run keeps the cases that all methods of its setting have, whatever
    the fold.

    Raises: ValueError that lists the cases that some run of a fold lacks.
    """
    common: dict[Setting, set[str]] = {}
    for setting, group in group_by_setting(results).items():
        done = [result for result in group if result.status == Status.DONE]
        if not intersection:
            _refuse_unequal_folds(setting, done)
        by_method: dict[str, set[str]] = {}
        for result in done:
            by_method.setdefault(result.label, set()).update(score.case for score in result.cases)
        common[setting] = set.intersection(*by_method.values()) if by_method else set()
    if not intersection:
        return list(results)
    return [_restrict(result, common[setting_of(result)]) for result in results]


def _refuse_unequal_folds(setting: Setting, done: Sequence[RunResult]) -> None:
    first: dict[tuple[str, int], set[str]] = {}  # runs of other protocols are never compared
    for result in done:
        cases = {score.case for score in result.cases}
        lacking = cases ^ first.setdefault((result.protocol_id, result.fold), cases)
        if lacking:
            raise ValueError(
                f"report: the methods on {setting}, fold {result.fold}, must have the same cases, got {result.label} "
                f"and others that differ in {', '.join(sorted(lacking))} (--intersection compares on the common ones)"
            )


def _restrict(result: RunResult, cases: set[str]) -> RunResult:
    kept = tuple(score for score in result.cases if score.case in cases)
    return result if len(kept) == len(result.cases) else replace(result, cases=kept)


def fold_means(table: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per (method, fold, seed) and one column per region and for `MEAN`: the mean over its cases."""
    run = ["method", "fold", "seed"]
    per_case = table.groupby([*run, "case", "region"], sort=False)[metric].mean().unstack("region")
    wide = per_case[list(dict.fromkeys(table["region"]))]
    return wide.assign(**{MEAN: wide.mean(axis="columns")}).groupby(run, sort=False).mean()


def common_rows(scores: pd.DataFrame) -> np.ndarray:
    """Return the rows of a score matrix in which every method is defined, as float (n, k)."""
    return scores.dropna().to_numpy(float)
