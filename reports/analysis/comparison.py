"""From results to one row for each method: the comparison of methods in one setting.

Numbers are aggregated in this room and nowhere else; tables and figures only show them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import nan
from textwrap import shorten

import numpy as np
import pandas as pd

from reports.analysis import tidy
from reports.analysis.quantities import COSTS, score_keys
from reports.analysis.references import place_references
from reports.analysis.statistics import Verdict, find_ties
from reports.analysis.tidy import MEAN, Setting
from reports.records.metrics import METRICS
from reports.records.plain import flatten
from reports.records.run import RunResult, Status

Numbers = dict[str, float]  # by the key of a column


@dataclass(frozen=True)
class MethodComparison:
    """The comparison of methods in one setting.

    ``rows`` has a row per method: method, name, kind, protocol_id, note (empty where every fold and
    seed is done), n_cases, n_runs, a mean per key of `score_keys` (as printed) and of `COSTS`, and
    per metric the defined share of cases x regions (``hd95_mm_defined_frac``). Nan if not measured.
    """

    setting: Setting
    synthetic: bool
    regions: tuple[str, ...]
    rows: pd.DataFrame
    spreads: pd.DataFrame  # standard deviations under the keys of ``rows``
    spread_over: str  # "cases" or "runs" (folds and seeds)
    ranked: tuple[bool, ...]  # for each row, whether the method may be ranked
    verdicts: dict[str, Verdict]  # by the key of a score; empty where nothing may be ranked
    difference: str  # how the protocols differ; empty if there is one
    notes: tuple[str, ...]  # one sentence for each run that has no numbers
    results: tuple[RunResult, ...]
    cases: pd.DataFrame  # the `case_table` of the finished runs; empty if there are none
    scores: pd.DataFrame  # (cases x methods) mean Dice of the ranked methods, seeds averaged

    @property
    def mixed(self) -> bool:
        return bool(self.difference)


@dataclass(frozen=True)
class _Scores:
    """The finished runs of one protocol, averaged once for all methods; one frame per metric."""

    per_case: dict[str, pd.DataFrame]  # (method, case) x regions
    per_run: dict[str, pd.DataFrame]  # (method, fold, seed) x regions

    @staticmethod
    def of(table: pd.DataFrame) -> _Scores:
        if table.empty:
            return _Scores({}, {})
        return _Scores(
            {metric: tidy.average_seeds(table, metric) for metric in METRICS},
            {metric: tidy.fold_means(table, metric) for metric in METRICS},
        )

    def has(self, label: str) -> bool:
        return bool(self.per_case) and label in self.per_case["dice"].index.unique("method")

    def matrix(self, labels: Sequence[str], metric: str, region: str) -> pd.DataFrame:
        if not self.per_case:
            return pd.DataFrame()
        return tidy.to_matrix(self.per_case[metric], labels, region)


def compare_methods(
    results: Sequence[RunResult],
    *,
    allow_mixed: bool = False,
    intersection: bool = False,
    spread: str = "auto",
) -> list[MethodComparison]:
    """Return one comparison per setting, in the given order of the results.

    Reference networks come last, in every setting that `place_references` gives them.

    Args:
        allow_mixed: compare results of several protocols, without ranking.
        intersection: compare methods on the cases that all have.
        spread: ``cases`` or ``runs`` (folds and seeds), over which standard deviations are taken;
            ``auto`` means runs where every finished method has more than one, else cases.

    Raises: ValueError if a comparison would mix protocols and ``allow_mixed`` is not set (it names
    the fields that differ), if runs of a fold have other cases, or if a score is impossible.
    """
    comparisons = []
    checked = tidy.check_cases(place_references(results), intersection=intersection)
    for setting, group in tidy.group_by_setting(checked).items():
        difference = describe_difference(group)
        if difference and not allow_mixed:
            rule = f"{setting.heading} on {setting.backbone} must have one protocol"
            hint = "--allow-mixed puts them in one table"
            raise ValueError(f"report: {rule}, got {difference} ({hint})")
        comparisons.append(_compare(setting, group, difference, spread, intersection))
    return comparisons


def describe_difference(results: Sequence[RunResult]) -> str:
    """Return the fields in which the protocols differ, in words; empty if there is one protocol."""
    # Not by hash alone: a record may have been edited, or hashed by another version.
    protocols = {}
    for run in results:
        record = flatten(run.protocol) | {"protocol_id": run.protocol_id}
        protocols[json.dumps(record, sort_keys=True)] = record
    if len(protocols) == 1:
        return ""
    differing = {}
    for key in dict.fromkeys(chain.from_iterable(protocols.values())):
        values = [record.get(key) for record in protocols.values()]
        words = ", ".join(dict.fromkeys(map(str, values)))
        if key == "protocol_id" or values.count(values[0]) < len(values):
            differing[key] = words
    ids = differing.pop("protocol_id")
    fields = [f"{key} ({words})" for key, words in differing.items()] or [f"protocol_id ({ids})"]
    return f"{len(protocols)} ({ids}) that differ in {', '.join(fields)}"


def _compare(
    setting: Setting, group: Sequence[RunResult], difference: str, spread: str, intersection: bool
) -> MethodComparison:
    regions = tuple(dict.fromkeys(chain.from_iterable(run.regions for run in group)))
    methods: dict[tuple[str, str], list[RunResult]] = {}
    for run in group:
        methods.setdefault((run.protocol_id, run.label), []).append(run)
    scored = [run for run in _select_done(group) if run.cases]
    cases = tidy.case_table(scored) if scored else pd.DataFrame({"protocol_id": []})
    over = _choose_spread(methods.values()) if spread == "auto" else spread
    scores = {name: _Scores.of(cases[cases["protocol_id"] == name]) for name, _ in methods}
    rows, spreads, ranked, comparable = [], [], [], []
    for (protocol, label), runs in methods.items():
        means, deviations = _average_scores(label, scores[protocol], regions, over)
        costs, cost_deviations = _average_costs(runs)
        rows.append(_describe_runs(runs, group) | means | costs)
        spreads.append(deviations | cost_deviations)
        complete = not rows[-1]["note"] or (intersection and means["n_cases"] > 0)
        ranked.append(complete and not difference)
        if ranked[-1]:
            comparable.append(label)
    of_group = scores[group[0].protocol_id]
    return MethodComparison(
        setting=setting,
        synthetic=any(run.synthetic for run in group),
        regions=regions,
        rows=pd.DataFrame(rows),
        spreads=pd.DataFrame(spreads),
        spread_over=over,
        ranked=tuple(ranked),
        verdicts=_find_verdicts(of_group, comparable, regions),
        difference=difference,
        notes=tuple(_explain_ends(group)),
        results=tuple(group),
        cases=cases,
        scores=of_group.matrix(comparable, "dice", MEAN),
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
    means, spreads = dict.fromkeys(COSTS, nan), dict.fromkeys(COSTS, nan)
    for key, quantity in COSTS.items():
        found = [value for cost in measured if (value := quantity.read(cost)) is not None]
        if found:
            means[key] = float(np.mean(found))
        if quantity.timed and len(found) > 1:
            spreads[key] = float(np.std(found, ddof=1))
    return means, spreads


def _average_scores(
    label: str, scores: _Scores, regions: tuple[str, ...], over: str
) -> tuple[Numbers, Numbers]:
    """Return means, with the number of cases, and standard deviations of a method's scores."""
    spreads = dict.fromkeys(score_keys(regions), nan)
    fractions = [f"{name}_defined_frac" for name in METRICS]
    means: Numbers = spreads | dict.fromkeys(fractions, nan) | {"n_cases": 0}
    if not scores.has(label):
        return means, spreads
    for name, metric in METRICS.items():
        per_case = scores.per_case[name].loc[label]
        samples = per_case if over == "cases" else scores.per_run[name].loc[label]
        for region in per_case.columns:
            means[f"{name}/{region}"] = metric.factor * float(per_case[region].mean())
            spreads[f"{name}/{region}"] = metric.factor * float(samples[region].std(ddof=1))
        defined = per_case.drop(columns=MEAN).notna()
        means[f"{name}_defined_frac"] = float(defined.to_numpy().mean())
        means["n_cases"] = len(per_case)
    return means, spreads


def _find_verdicts(
    scores: _Scores, ranked: Sequence[str], regions: tuple[str, ...]
) -> dict[str, Verdict]:
    verdicts = {}
    for key, (metric, region) in score_keys(regions).items():
        defined = scores.matrix(ranked, metric.name, region).dropna(axis="columns", how="all")
        if not defined.empty:
            verdicts[key] = find_ties(defined, largest_first=metric.largest_first)
    return verdicts


def _explain_ends(group: Sequence[RunResult]) -> Iterator[str]:
    """Yield a sentence for the runs without numbers, one for those that ended alike."""
    ends: dict[tuple[str, str, str], list[RunResult]] = {}
    for run in group:
        if run.status != Status.DONE:
            ends.setdefault((run.label, run.status, run.reason), []).append(run)
    for (label, status, reason), runs in ends.items():
        first = runs[0]
        which = f"fold {first.fold}, seed {first.seed}" if len(runs) == 1 else f"{len(runs)} runs"
        yield f"{label} on {first.dataset_title}, {which}: {status} ({shorten(reason, 160)})."
