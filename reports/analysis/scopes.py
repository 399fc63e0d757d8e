"""On which cases methods are compared, and which methods, where a score may be undefined.

A score is undefined where the policy for empty masks leaves it so: HD95 of a missed tumour, for
one. A mean over the remaining cases would reward the miss. So ranks, bold marks and tests are over
the common cases, in which every ranked method has a value in each of its trainings. A method whose
own errors would take many cases out of the comparison is not ranked for that score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.analysis.tidy import (
    MEAN,
    TRAINING,
    WideScores,
    is_among,
    mean_if_all,
    number_level,
    select_methods,
    spread_regions,
)
from reports.records.metrics import METRICS

LARGEST_GAP = 0.05  # of the share of faultless scores, below that of the best method
LEAST_SHARE = 0.5  # of faultless scores of a ranked method, and of the cases that are common
ROUNDING = 1e-9


@dataclass(frozen=True)
class Scope:
    """One score of the methods in one setting: who is ranked, on which cases.

    Attributes:
        candidates: the methods that may be ranked, as all their runs are done.
        ranked: those that are ranked for this score.
        cases: the common cases of the ranked methods, sorted.
        n_cases: of the setting.
        values: of each training (`TRAINING`) and case, nan where undefined; of all methods.
        left_out_regions: of a mean over regions, (case, region) without which it is.
    """

    candidates: tuple[str, ...]
    ranked: tuple[str, ...]
    cases: tuple[str, ...]
    n_cases: int
    values: pd.Series[float]
    left_out_regions: frozenset[tuple[str, str]] = frozenset()

    @property
    def is_partial(self) -> bool:
        """Whether the comparison is over some of the cases, or of some of the candidates."""
        return len(self.cases) < self.n_cases or len(self.ranked) < len(self.candidates)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The candidates that are not ranked for this score."""
        return tuple(name for name in self.candidates if name not in self.ranked)

    def has(self, method: str) -> bool:
        return method in self.values.index.unique("method")

    def count_cases(self, method: str) -> int:
        """Return in how many cases a method was scored, with a value or without."""
        return self._case_counts[method]

    def trainings(self) -> pd.Series[float]:
        """Return the values of the ranked methods in the common cases; none is nan."""
        of_ranked = is_among(self.values, "method", self.ranked)
        return self.values.loc[of_ranked & is_among(self.values, "case", self.cases)]

    def matrix(self) -> pd.DataFrame:
        """Return (common cases x ranked methods), seeds averaged, without nan."""
        if not self.ranked:
            return pd.DataFrame()
        means = self.trainings().groupby(level=["method", "case"]).mean().unstack("method")
        return means[list(self.ranked)].sort_index()

    def matrix_of_runs(self) -> pd.DataFrame:
        """Return the matrix by training: (fold, seed, case) x ranked methods."""
        if not self.ranked:
            return pd.DataFrame()
        levels = ["method", "fold", "seed", "case"]
        return self.trainings().groupby(level=levels).mean().unstack("method")[list(self.ranked)]

    def share(self, method: str) -> float:
        """Return the share of a method's trainings and cases in which the score has a value."""
        return self.summaries[method]["share"]

    def select(self, method: str) -> pd.Series[float]:
        """Return the values that a method's mean is of: (fold, seed, run_id, case).

        Of a ranked method they are those in the common cases, of another those in the cases in
        which all its own trainings have a value.
        """
        return self._counted.xs(method, level="method")

    @cached_property
    def summaries(self) -> dict[str, dict[str, float]]:
        """The numbers of each method over the values of `select`, by its label.

        They are ``mean``, ``n`` (cases), the standard deviations over ``cases`` and ``runs``, and
        the ``share`` of all values that are defined.
        """
        cases = self._counted.groupby(level=["method", "case"]).mean().groupby(level="method")
        runs = self._counted.groupby(level=TRAINING).mean().groupby(level="method")
        share = self.values.notna().groupby(level="method").mean()
        columns = {"share": share, "mean": cases.mean(), "n": cases.size()}
        columns |= {"cases": cases.std(ddof=1), "runs": runs.std(ddof=1)}
        table = pd.DataFrame(columns).fillna({"n": 0})
        summaries = {}
        for label, row in table.iterrows():
            summaries[str(label)] = {name: float(row[name]) for name in columns}
        return summaries

    @cached_property
    def _counted(self) -> pd.Series[float]:
        pairs = self._pairs
        n_missing = np.bincount(pairs, weights=self.values.isna())
        complete = n_missing[pairs] == 0
        unranked = ~is_among(self.values, "method", self.ranked)
        common = is_among(self.values, "case", self.cases)
        return self.values.loc[complete & (common | unranked)]

    @cached_property
    def _pairs(self) -> npt.NDArray[np.int64]:
        """The number of the pair of method and case that each value is of."""
        methods, cases = (number_level(self.values, name) for name in ("method", "case"))
        return methods * (cases.max(initial=0) + 1) + cases

    @cached_property
    def _case_counts(self) -> dict[str, int]:
        """In how many cases each method was scored, with a value or without."""
        _, firsts = np.unique(self._pairs, return_index=True)
        found = self.values.index.get_level_values("method")[firsts]
        return {str(label): int(n) for label, n in found.value_counts().items()}

    def without(self, cases: set[str]) -> Scope:
        """Return the scope with fewer common cases."""
        kept = tuple(case for case in self.cases if case not in cases)
        return replace(self, cases=kept, ranked=self.ranked if kept else ())


def find_scopes(
    table: pd.DataFrame, candidates: Sequence[str], regions: Sequence[str]
) -> dict[str, Scope]:
    """Return the scope of each score by its key, such as ``dice/WT``.

    Args:
        table: a `case_table` of one protocol.
        candidates: the methods that may be ranked.
        regions: of the setting; those without a score have no scope.
    """
    scopes = {}
    for name, wide in spread_regions(table, METRICS).items():
        faults = wide.find_faults()
        ranked = _choose_ranked(faults.any(axis="columns"), candidates)
        scope = _scope(wide.average_regions(ranked), candidates, ranked)
        left_out = _list_left_out(wide, ranked)
        scopes[f"{name}/{MEAN}"] = replace(scope, left_out_regions=left_out)
        for region in regions:
            if region in wide.values:
                ranked = _choose_ranked(faults[region], candidates)
                scopes[f"{name}/{region}"] = _scope(wide.values[region], candidates, ranked)
    return scopes


def _list_left_out(wide: WideScores, ranked: Sequence[str]) -> frozenset[tuple[str, str]]:
    left_out = wide.find_left_out(ranked)
    of_ranked = left_out[select_methods(left_out, ranked)].groupby(level="case").any()
    found = set()
    for region in of_ranked:
        for case in of_ranked.index[of_ranked[region]]:
            found.add((str(case), str(region)))
    return frozenset(found)


def _choose_ranked(faults: pd.Series[bool], candidates: Sequence[str]) -> list[str]:
    """Return the methods of which no more scores are at fault than is said above."""
    shares = 1 - faults.groupby(level="method").mean()
    known = [name for name in candidates if name in shares]
    if not known:
        return []
    least = max(LEAST_SHARE, shares[known].max() - LARGEST_GAP) - ROUNDING
    return [name for name in known if shares[name] >= least]


def _scope(values: pd.Series[float], candidates: Sequence[str], ranked: Sequence[str]) -> Scope:
    averaged = mean_if_all(values.to_frame("value"), ["method", "case"])["value"]
    by_method = averaged.unstack("method")
    common = tuple(map(str, by_method.index[by_method[list(ranked)].notna().all(axis="columns")]))
    measured = by_method.notna().any(axis="columns").sum()
    if not ranked or not common or len(common) < LEAST_SHARE * measured - ROUNDING:
        ranked, common = (), ()
    return Scope(tuple(candidates), tuple(ranked), common, len(by_method), values)
