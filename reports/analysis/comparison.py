"""From results to one row per method: the comparison of methods in one setting.

Numbers are aggregated here and nowhere else; tables and figures only show what they get.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from textwrap import shorten

import numpy as np
import pandas as pd

from reports.analysis.quantities import COSTS, score_keys
from reports.analysis.statistics import Verdict, find_ties
from reports.analysis.tidy import (
    MEAN,
    Setting,
    average_seeds,
    case_table,
    check_cases,
    fold_means,
    group_by_setting,
)
from reports.records.metrics import METRICS
from reports.records.plain import flatten
from reports.records.run import RunResult, Status


@dataclass(frozen=True)
class MethodComparison:
    """The comparison of methods in one setting (data set, backbone, pre-training, shots).

    ``rows`` has one row per method, in the given order: method, name, protocol_id, note, n_cases,
    n_runs, a mean per key of `score_keys` (in printed units) and of `COSTS`, and per metric
    ``hd95_mm_defined_frac``, the share of cases and regions in which it is defined. ``spreads`` has the standard deviations under the same keys. What was not
    measured is nan; ``note`` is empty where every fold and seed is done. ``verdicts`` has who is
    tied with the best, per score key; it is empty where nothing may be ranked.
    """

    setting: Setting
    synthetic: bool
    regions: tuple[str, ...]
    rows: pd.DataFrame
    spreads: pd.DataFrame
    spread_over: str  # "cases" or "runs" (folds and seeds)
    ranked: tuple[bool, ...]
    verdicts: dict[str, Verdict]
    difference: str  # how the protocols differ, if there is more than one
    notes: tuple[str, ...]  # one sentence for each run that has no numbers
    results: tuple[RunResult, ...]
    cases: pd.DataFrame  # the `case_table` of the finished runs; empty if there are none
    scores: (
        pd.DataFrame
    )  # (cases x methods) mean Dice of the methods that may be ranked, seeds averaged

    @property
    def mixed(self) -> bool:
        """Return whether there is more than one protocol: then nothing may be ranked."""
        return bool(self.difference)


def compare_methods(
    results: Sequence[RunResult],
    *,
    allow_mixed: bool = False,
    intersection: bool = False,
    spread: str = "auto",
) -> list[MethodComparison]:
    """Return one table per setting, in the given order of the results.

    ``spread`` says what standard deviations are over: ``cases``, ``runs`` (folds and seeds), or
    ``auto``: runs where every finished method has more than one, else cases. With ``intersection``
    methods are compared on the cases that all have.

    Raises: ValueError if a table would mix protocols and ``allow_mixed`` is not set (it names the
    fields that differ), if runs of a fold have other cases, or if a score cannot be.
    """
    tables = []
    for setting, group in group_by_setting(check_cases(results, intersection=intersection)).items():
        difference = describe_difference(group)
        if difference and not allow_mixed:
            where = f"report: {setting.dataset} on {setting.backbone}"
            raise ValueError(
                f"{where} must have one protocol, got {difference} (--allow-mixed puts them in one table)"
            )
        tables.append(_build_table(setting, group, difference, spread, intersection=intersection))
    return tables


def describe_difference(results: Sequence[RunResult]) -> str:
    """Return in words in which fields the protocols of the results differ; empty if there is only one protocol."""
    # The records count, not only their hashes: a record may have been edited, or hashed by another
    # version.
    protocols = {
        json.dumps([each.protocol_id, each.protocol], sort_keys=True): each for each in results
    }
    if len(protocols) == 1:
        return ""
    ids = dict.fromkeys(each.protocol_id for each in protocols.values())
    records = [
        flatten(each.protocol) | {"protocol_id": each.protocol_id} for each in protocols.values()
    ]
    values = {
        key: [record.get(key) for record in records]
        for key in dict.fromkeys(key for r in records for key in r)
    }
    words = {key: ", ".join(dict.fromkeys(map(str, row))) for key, row in values.items()}
    differing = [
        key
        for key, row in values.items()
        if any(value != row[0] for value in row) and key != "protocol_id"
    ]
    named = ", ".join(f"{key} ({words[key]})" for key in differing or ["protocol_id"])
    return f"{len(protocols)} ({', '.join(ids)}) that differ in {named}"


def _build_table(
    setting: Setting,
    group: Sequence[RunResult],
    difference: str,
    spread: str,
    *,
    intersection: bool,
) -> MethodComparison:
    regions = tuple(dict.fromkeys(region for result in group for region in result.regions))
    methods: dict[tuple[str, str], list[RunResult]] = {}
    for result in group:
        methods.setdefault((result.protocol_id, result.label), []).append(result)
    done = {
        key: [run for run in runs if run.status == Status.DONE] for key, runs in methods.items()
    }
    over = spread if spread != "auto" else _choose_spread(done.values())
    n_cells = len({(result.fold, result.seed) for result in group})
    scored = [run for run in group if run.status == Status.DONE and run.cases]
    cases = case_table(scored) if scored else pd.DataFrame({"protocol_id": []})
    protocols = dict.fromkeys(protocol for protocol, _ in methods)
    scores = {each: _Scores.of(cases[cases["protocol_id"] == each]) for each in protocols}
    rows, spreads = [], []
    for key, runs in methods.items():
        means, deviations = _aggregate(key[1], done[key], scores[key[0]], regions, over)
        rows.append(_describe_runs(runs, len(done[key]), n_cells) | means)
        spreads.append(deviations)
    table = pd.DataFrame(rows)
    ranked = tuple(
        not difference and (note == "" or (intersection and n > 0))
        for note, n in zip(table["note"], table["n_cases"], strict=True)
    )
    comparable = [label for label, counts in zip(table["method"], ranked, strict=True) if counts]
    of_group = scores[group[0].protocol_id]
    return MethodComparison(
        setting=setting,
        synthetic=any(result.synthetic for result in group),
        regions=regions,
        rows=table,
        spreads=pd.DataFrame(spreads),
        spread_over=over,
        ranked=ranked,
        verdicts=_find_verdicts(of_group, comparable, regions),
        difference=difference,
        notes=tuple(_explain_ends(group)),
        results=tuple(group),
        cases=cases,
        scores=of_group.matrix(comparable),
    )


def _explain_ends(group: Sequence[RunResult]) -> Iterator[str]:
    """Yield a sentence for the runs without numbers; those of a method that ended alike share one."""
    ends: dict[tuple[str, str, str], list[RunResult]] = {}
    for run in group:
        if run.status != Status.DONE:
            ends.setdefault((run.label, run.status, run.reason), []).append(run)
    for (label, status, reason), runs in ends.items():
        first = runs[0]
        which = f"fold {first.fold}, seed {first.seed}" if len(runs) == 1 else f"{len(runs)} runs"
        yield f"{label} on {first.dataset}, {which}: {status} ({shorten(reason, 160)})."


def _choose_spread(done: Iterable[Sequence[RunResult]]) -> str:
    counts = [len(runs) for runs in done if runs]
    return "runs" if counts and min(counts) > 1 else "cases"


def _describe_runs(runs: Sequence[RunResult], n_done: int, n_cells: int) -> dict[str, object]:
    statuses = ", ".join(dict.fromkeys(str(run.status) for run in runs))
    partly = f"{n_done} of {n_cells} runs" if n_done < n_cells else ""
    return {
        "method": runs[0].label,
        "name": runs[0].method,
        "protocol_id": runs[0].protocol_id,
        "note": partly if n_done else statuses,
        "n_cases": 0,
        "n_runs": n_done,
    }


@dataclass(frozen=True)
class _Scores:
    """The finished runs of one protocol, folded up once for all methods; each is a frame per metric."""

    per_case: dict[str, pd.DataFrame]  # (method, case) x regions
    per_run: dict[str, pd.DataFrame]  # (method, fold, seed) x regions

    @staticmethod
    def of(table: pd.DataFrame) -> _Scores:
        if table.empty:
            return _Scores({}, {})
        return _Scores(
            {metric: average_seeds(table, metric) for metric in METRICS},
            {metric: fold_means(table, metric) for metric in METRICS},
        )

    def methods(self) -> list[str]:
        return list(self.per_case["dice"].index.unique("method")) if self.per_case else []

    def matrix(
        self, labels: Sequence[str], metric: str = "dice", region: str = MEAN
    ) -> pd.DataFrame:
        """Return (cases x methods) of those labels that have scores."""
        shown = [label for label in labels if label in self.methods()]
        if not shown:
            return pd.DataFrame()
        return self.per_case[metric][region].loc[shown].unstack("method")[shown].sort_index()


def _aggregate(
    label: str, done: Sequence[RunResult], scores: _Scores, regions: tuple[str, ...], over: str
) -> tuple[dict[str, object], dict[str, float]]:
    """Return means and standard deviations of one method's finished runs."""
    keys = score_keys(regions)
    defined = {metric: f"{metric}_defined_frac" for metric in METRICS}
    means: dict[str, object] = dict.fromkeys([*keys, *COSTS, *defined.values()], nan)
    spreads = dict.fromkeys([*keys, *COSTS], nan)
    for key, cost in COSTS.items():
        found = [value for run in done if run.cost and (value := cost.read(run.cost)) is not None]
        if found:
            means[key] = float(np.mean(found))
        if cost.timed and len(found) > 1:
            spreads[key] = float(np.std(found, ddof=1))
    if label not in scores.methods():
        return means, spreads
    for metric in METRICS:
        per_case = scores.per_case[metric].loc[label]
        samples = per_case if over == "cases" else scores.per_run[metric].loc[label]
        average, deviation = pd.Series(per_case.mean()), pd.Series(samples.std(ddof=1))
        for key, (quantity, region) in keys.items():
            if quantity.name == metric and region in per_case:
                means[key] = quantity.factor * float(average[region])
                spreads[key] = quantity.factor * float(deviation[region])
        of_regions = per_case.drop(columns=MEAN)
        means[defined[metric]] = float(of_regions.notna().to_numpy().mean())
        means["n_cases"] = len(per_case)
    return means, spreads


def _find_verdicts(
    scores: _Scores, ranked: Sequence[str], regions: tuple[str, ...]
) -> dict[str, Verdict]:
    """Return who of the methods that may be ranked is tied with the best, for each score that is defined at all."""
    verdicts = {}
    for key, (quantity, region) in score_keys(regions).items():
        defined = scores.matrix(ranked, quantity.name, region).dropna(axis="columns", how="all")
        if not defined.empty:
            verdicts[key] = find_ties(defined, largest_first=quantity.largest_first)
    return verdicts
