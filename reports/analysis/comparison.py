"""From results to one row for each method: the comparison of methods in one setting.

Numbers are aggregated in this room and nowhere else; tables and figures only show them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis import tidy
from reports.analysis.cases.equal import check_cases
from reports.analysis.cases.missing import explain_ends
from reports.analysis.protocols import describe_difference
from reports.analysis.quantities import QUANTITIES, score_keys
from reports.analysis.references import place_references
from reports.analysis.scopes import Scope, find_scopes
from reports.analysis.statistics import Verdict
from reports.analysis.tidy import MEAN, Setting, describe_setting
from reports.analysis.verdicts import Verdicts
from reports.names import BUILT_IN_NAMES, Names, name_dataset
from reports.records.metrics import METRICS
from reports.records.run import RunResult, Status

Numbers = dict[str, float]  # by the key of a column


@dataclass(frozen=True)
class MethodComparison:
    """The comparison of methods in one setting.

    ``rows`` has a row per method: method, name, kind, protocol_id, note (empty where every fold and
    seed is done), n_cases, n_runs, a mean per key of `score_keys` (as printed) and of `QUANTITIES`,
    and the share of cases x regions in which a metric is defined (``hd95_mm_defined_frac``). Nan if
    not measured. Beside the mean of a score: how many cases it is of (``dice/WT_n``), whether the
    method is ranked for it (``dice/WT_ranked``), and the share of its trainings and cases that have
    a value (``dice/WT_share``).
    """

    setting: Setting
    synthetic: bool
    regions: tuple[str, ...]
    rows: pd.DataFrame
    spreads: pd.DataFrame  # standard deviations under the keys of ``rows``
    spread_over: str  # "cases" or "runs" (folds and seeds)
    ranked: tuple[bool, ...]  # for each row, whether the method may be ranked
    verdicts: Mapping[str, Verdict]  # by the key of a score; empty where nothing may be ranked
    difference: str  # how the protocols differ; empty if there is one
    notes: tuple[str, ...]  # one sentence for each run that has no numbers
    results: tuple[RunResult, ...]
    cases: pd.DataFrame  # the `case_table` of the finished runs; empty if there are none
    scopes: dict[str, Scope]  # by the key of a score; empty where protocols are mixed
    scores: pd.DataFrame  # mean Dice (common cases x ranked methods), seeds averaged, no nan
    runs: pd.DataFrame  # the same by training: (fold, seed, case) x methods
    penalty_mm: float | None = None  # the distance of a miss where the policy leaves it undefined
    intersection: bool = False  # only the cases that all methods have
    names: Names = BUILT_IN_NAMES

    @cached_property
    def lines(self) -> list[dict[Hashable, Any]]:
        """The rows as mappings, which are read one number at a time far faster."""
        return self.rows.to_dict("records")

    @property
    def mixed(self) -> bool:
        return bool(self.difference)

    @property
    def heading(self) -> str:
        """How the data set is printed."""
        return name_dataset(self.setting.dataset, self.setting.title, self.names)

    @property
    def backbone(self) -> str:
        """How the backbone is printed."""
        return self.names.find(self.setting.backbone)

    @property
    def weights(self) -> str:
        """How the pre-training is printed."""
        return self.names.find(self.setting.weights)

    @property
    def title(self) -> str:
        """How the setting is printed."""
        return describe_setting(self.setting, self.names)


def compare_methods(
    results: Sequence[RunResult],
    *,
    allow_mixed: bool = False,
    intersection: bool = False,
    spread: str = "auto",
    penalty_mm: float | None = None,
    names: Names = BUILT_IN_NAMES,
) -> list[MethodComparison]:
    """Return one comparison per setting, in the given order of the results.

    Reference networks come last, in every setting that `place_references` gives them.

    Args:
        allow_mixed: compare results of several protocols, without ranking.
        intersection: compare methods on the cases that all have.
        spread: ``cases`` or ``runs`` (folds and seeds), over which standard deviations are taken;
            ``auto`` means runs where every finished method has more than one, else cases.
        penalty_mm: the distance of a missed region where the policy leaves it undefined; None: it
            stays undefined, and methods are compared on the cases that all ranked ones have.
        names: how methods, data sets and more are printed.

    Raises: ValueError if a comparison would mix protocols and ``allow_mixed`` is not set (it names
    the fields that differ), if runs of a fold have other cases, or if a score is impossible.
    """
    comparisons = []
    checked = check_cases(place_references(results), intersection=intersection)
    for setting, group in tidy.group_by_setting(checked).items():
        difference = describe_difference(group)
        if difference and not allow_mixed:
            rule = f"{setting} must have one protocol"
            hint = "--allow-mixed puts them in one table"
            raise ValueError(f"report: {rule}, got {difference} ({hint})")
        table = _tabulate(group, penalty_mm)
        found = _compare(setting, group, table, spread, difference, intersection)
        notes = tuple(explain_ends(group, names))
        comparisons.append(replace(found, penalty_mm=penalty_mm, notes=notes, names=names))
    return comparisons


def _tabulate(group: Sequence[RunResult], penalty_mm: float | None) -> pd.DataFrame:
    scored = [run for run in _select_done(group) if run.cases]
    if not scored:
        return pd.DataFrame({"protocol_id": []})
    table = tidy.case_table(scored)
    return table if penalty_mm is None else tidy.penalise_misses(table, penalty_mm)


def _compare(
    setting: Setting,
    group: Sequence[RunResult],
    cases: pd.DataFrame,
    spread: str,
    difference: str,
    intersection: bool,
) -> MethodComparison:
    regions = tuple(dict.fromkeys(chain.from_iterable(run.regions for run in group)))
    methods: dict[tuple[str, str], list[RunResult]] = {}
    for run in group:
        methods.setdefault((run.protocol_id, run.label), []).append(run)
    over = _choose_spread(methods.values()) if spread == "auto" else spread
    described, ranked, comparable = [], [], []
    for (_, label), runs in methods.items():
        described.append(_describe_runs(runs, group))
        complete = not described[-1]["note"] or (intersection and any(run.cases for run in runs))
        ranked.append(complete and not difference)
        if ranked[-1]:
            comparable.append(label)
    scopes = {}
    for name in {protocol for protocol, _ in methods}:
        mine = cases[cases["protocol_id"] == name]
        scopes[name] = find_scopes(mine, comparable, regions) if len(mine) else {}
    rows, spreads = [], []
    for ((protocol, label), runs), row in zip(methods.items(), described, strict=True):
        means, deviations = _average_scores(label, scopes[protocol], regions, over)
        costs, cost_deviations = _average_costs(runs)
        rows.append(row | means | costs)
        spreads.append(deviations | cost_deviations)
    of_group = {} if difference else scopes[group[0].protocol_id]
    return MethodComparison(
        setting=setting,
        synthetic=any(run.synthetic for run in group),
        regions=regions,
        rows=pd.DataFrame(rows),
        spreads=pd.DataFrame(spreads),
        spread_over=over,
        ranked=tuple(ranked),
        verdicts=Verdicts.of(of_group),
        difference=difference,
        notes=(),
        results=tuple(group),
        cases=cases,
        scopes=of_group,
        scores=of_group[f"dice/{MEAN}"].matrix() if of_group else pd.DataFrame(),
        runs=of_group[f"dice/{MEAN}"].matrix_of_runs() if of_group else pd.DataFrame(),
        intersection=intersection,
    )


def _choose_spread(methods: Iterable[Sequence[RunResult]]) -> str:
    counts = filter(None, map(len, map(_select_done, methods)))
    return "runs" if min(counts, default=0) > 1 else "cases"


def _select_done(runs: Sequence[RunResult]) -> list[RunResult]:
    return [run for run in runs if run.status == Status.DONE]


def _describe_runs(runs: Sequence[RunResult], group: Sequence[RunResult]) -> dict[str, object]:
    n_cells = len({(run.fold, run.seed) for run in group})
    n_done = len(_select_done(runs))
    note = f"{n_done} of {n_cells} runs" if n_done < n_cells else ""
    if not n_done:
        note = ", ".join(dict.fromkeys(str(run.status) for run in runs))
    first = runs[0]
    named = {"method": first.label, "name": first.method, "protocol_id": first.protocol_id}
    named["kind"] = first.kind
    return {**named, "note": note, "n_runs": n_done}


def _average_costs(runs: Sequence[RunResult]) -> tuple[Numbers, Numbers]:
    measured = [run.cost for run in _select_done(runs) if run.cost]
    means, spreads = dict.fromkeys(QUANTITIES, nan), dict.fromkeys(QUANTITIES, nan)
    for key, quantity in QUANTITIES.items():
        found = [value for cost in measured if (value := quantity.read(cost)) is not None]
        if found:
            means[key] = float(np.mean(found))
        if quantity.timed and len(found) > 1:
            spreads[key] = float(np.std(found, ddof=1))
    return means, spreads


def _average_scores(
    label: str, scopes: dict[str, Scope], regions: tuple[str, ...], over: str
) -> tuple[dict[str, Any], Numbers]:
    """Return means, with the number of cases, and standard deviations of a method's scores."""
    spreads = dict.fromkeys(score_keys(regions), nan)
    means: dict[str, Any] = spreads | {"n_cases": 0}
    means |= {f"{name}_defined_frac": nan for name in METRICS}
    for key in spreads:
        means |= {f"{key}_n": 0, f"{key}_ranked": False, f"{key}_share": nan}
    defined: dict[str, list[float]] = {}
    for key, (metric, region) in score_keys(regions).items():
        scope = scopes.get(key)
        if scope is None or not scope.has(label):
            continue
        numbers, spreads[key] = _average_score(label, scope, metric.factor, over)
        means |= {f"{key}{name}": number for name, number in numbers.items()}
        means["n_cases"] = scope.count_cases(label)
        if region != MEAN:
            defined.setdefault(metric.name, []).append(scope.share(label))
    means |= {f"{name}_defined_frac": float(np.mean(shares)) for name, shares in defined.items()}
    return means, spreads


def _average_score(
    label: str, scope: Scope, factor: float, over: str
) -> tuple[dict[str, Any], float]:
    """Return the entries of a row by the ends of their names, and the standard deviation."""
    line = scope.summaries[label]
    numbers: dict[str, Any] = {"": factor * line["mean"], "_n": int(line["n"])}
    numbers |= {"_ranked": label in scope.ranked, "_share": line["share"]}
    return numbers, factor * line[over]


def align_cases(comparisons: Sequence[MethodComparison], key: str) -> list[MethodComparison]:
    """Return the comparisons with one score over the cases that are common in all of them.

    A case that one of them has not measured at all is kept: only undefined scores are left out.
    """
    scopes = [each.scopes[key] for each in comparisons if key in each.scopes]
    scopes = [scope for scope in scopes if scope.ranked]
    undefined: set[str] = set()
    for scope in scopes:
        undefined |= set(scope.values.index.unique("case")) - set(scope.cases)
        # a mean over other regions of a case is another score
        undefined |= {case for case, _ in scope.left_out_regions ^ scopes[0].left_out_regions}
    if not undefined:
        return list(comparisons)
    return [_leave_out(comparison, key, undefined) for comparison in comparisons]


def _leave_out(comparison: MethodComparison, key: str, cases: set[str]) -> MethodComparison:
    if not comparison.scopes.get(key):
        return comparison
    metric, _ = score_keys(comparison.regions)[key]
    scope = comparison.scopes[key].without(cases)
    rows, spreads = comparison.rows.copy(), comparison.spreads.copy()
    for number, label in enumerate(rows["method"]):
        if scope.has(label):
            found = _average_score(label, scope, metric.factor, comparison.spread_over)
            spreads.loc[number, key] = found[1]
            for name, value in found[0].items():
                rows.loc[number, f"{key}{name}"] = value
    scopes = comparison.scopes | {key: scope}
    of_scopes = Verdicts.of(scopes)
    return replace(comparison, rows=rows, spreads=spreads, scopes=scopes, verdicts=of_scopes)
