"""From results to tables: one row per case and region, and one row per method.

Numbers are aggregated here and nowhere else; the formats only print what they get.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten

import numpy as np
import pandas as pd

from bench.results import RunResult, Status, flatten
from reports.tidy import MEAN, case_table


@dataclass(frozen=True)
class MethodTable:
    """The comparison of methods on one data set and backbone.

    ``rows`` has one row per method, in the given order, with the columns method, protocol_id, dice_pct/R and
    dice_pct_sd/R for each region R and for `MEAN`, hd95_mm, hd95_frac (how much of it is defined), n_cases, tuned_m
    (millions), tuned_pct (of full fine-tuning), fit_s and note. What was not measured is nan; ``note`` is empty where
    every fold and seed of the table is done.
    """

    dataset: str
    backbone: str
    weights: str
    synthetic: bool
    regions: tuple[str, ...]
    rows: pd.DataFrame
    mixed: bool  # more than one protocol: nothing in here may be ranked
    caption: tuple[str, ...]  # sentences
    notes: tuple[str, ...]  # one sentence for each run that has no numbers


def method_tables(results: Sequence[RunResult], *, allow_mixed: bool = False) -> list[MethodTable]:
    """Return one table per data set, backbone and pre-training, in the given order of the results.

    Raises: ValueError if a table would mix protocols and ``allow_mixed`` is not set; it names the fields that differ.
    """
    tables = []
    for group in _split(results, "dataset", "backbone", "weights"):
        difference = describe_difference(group)
        if difference and not allow_mixed:
            where = f"report: {group[0].dataset} on {group[0].backbone}"
            raise ValueError(f"{where} must have one protocol, got {difference} (--allow-mixed puts them in one table)")
        tables.append(_build_table(group, difference))
    return tables


def describe_difference(results: Sequence[RunResult]) -> str:
    """Return in words in which fields the protocols of the results differ; empty if there is only one protocol."""
    # The records count, not only their hashes: a record may have been edited, or hashed by another version.
    protocols = {json.dumps([each.protocol_id, each.protocol], sort_keys=True): each for each in results}
    if len(protocols) == 1:
        return ""
    ids = dict.fromkeys(each.protocol_id for each in protocols.values())
    records = [flatten(each.protocol) | {"protocol_id": each.protocol_id} for each in protocols.values()]
    values = {key: [record.get(key) for record in records] for key in dict.fromkeys(key for r in records for key in r)}
    words = {key: ", ".join(dict.fromkeys(map(str, row))) for key, row in values.items()}
    differing = [key for key, row in values.items() if any(value != row[0] for value in row) and key != "protocol_id"]
    named = ", ".join(f"{key} ({words[key]})" for key in differing or ["protocol_id"])
    return f"{len(protocols)} ({', '.join(ids)}) that differ in {named}"


def _split(results: Sequence[RunResult], *names: str) -> list[list[RunResult]]:
    """Group results by some of their fields, in the order in which the groups first appear."""
    groups: dict[tuple[object, ...], list[RunResult]] = {}
    for result in results:
        groups.setdefault(tuple(getattr(result, name) for name in names), []).append(result)
    return list(groups.values())


def _build_table(group: Sequence[RunResult], difference: str) -> MethodTable:
    first = group[0]
    regions = tuple(dict.fromkeys(region for result in group for region in result.regions))
    cells = {(result.fold, result.seed) for result in group}
    rows = pd.DataFrame([_build_row(runs, regions, len(cells)) for runs in _split(group, "protocol_id", "label")])
    notes = [
        f"{run.label}, fold {run.fold}, seed {run.seed}: {run.status} ({shorten(run.reason, 160)})."
        for run in group
        if run.status != Status.DONE
    ]
    return MethodTable(
        dataset=first.dataset,
        backbone=first.backbone,
        weights=first.weights,
        synthetic=any(result.synthetic for result in group),
        regions=regions,
        rows=rows,
        mixed=bool(difference),
        caption=tuple(_describe(group, rows, difference)),
        notes=tuple(notes),
    )


def _build_row(runs: Sequence[RunResult], regions: Sequence[str], n_cells: int) -> dict[str, object]:
    """Aggregate the runs of one method: first over the seeds of a case, then over the cases."""
    done = [run for run in runs if run.status == Status.DONE]
    row: dict[str, object] = {"method": runs[0].label, "protocol_id": runs[0].protocol_id, "n_cases": 0}
    if done:
        scores = case_table(done).groupby(["case", "region"], sort=False)[["dice", "hd95_mm"]].mean()
        dice_pct = 100 * scores["dice"].unstack("region")[list(regions)]
        dice_pct[MEAN] = dice_pct.mean(axis="columns")
        row["n_cases"] = len(dice_pct)
        row |= {f"dice_pct/{region}": dice_pct[region].mean() for region in dice_pct}
        row |= {f"dice_pct_sd/{region}": dice_pct[region].std(ddof=1) for region in dice_pct}
        row |= {"hd95_mm": scores["hd95_mm"].mean(), "hd95_frac": scores["hd95_mm"].notna().mean()}
    else:
        missing = [f"{name}/{region}" for name in ("dice_pct", "dice_pct_sd") for region in (*regions, MEAN)]
        row |= dict.fromkeys([*missing, "hd95_mm", "hd95_frac"], np.nan)
    costs = [run.cost for run in done if run.cost is not None]
    row["tuned_m"] = np.mean([cost.params_tuned / 1e6 for cost in costs]) if costs else np.nan
    row["tuned_pct"] = np.mean([100 * cost.params_tuned_frac for cost in costs]) if costs else np.nan
    row["fit_s"] = np.mean([cost.fit_s for cost in costs]) if costs else np.nan
    statuses = dict.fromkeys(str(run.status) for run in runs)
    partly = f"{len(done)} of {n_cells} runs" if len(done) < n_cells else ""
    return row | {"note": partly if done else ", ".join(statuses)}


def _describe(group: Sequence[RunResult], rows: pd.DataFrame, difference: str) -> Iterator[str]:
    """Yield the sentences without which the numbers cannot be read."""
    first = group[0]
    weights = "none (random initialisation)" if first.weights == "none" else first.weights
    yield f"PET methods on {first.dataset}; backbone {first.backbone}, weights: {weights}."
    if any(result.synthetic for result in group):
        yield "Data: SYNTHETIC phantoms, not patient data."
    folds, seeds = (sorted({getattr(result, name) for result in group}) for name in ("fold", "seed"))
    yield (
        f"{rows['n_cases'].max()} held-out cases; {_count('fold', folds)}, {_count('seed', seeds)}. "
        "Dice in %: mean ± standard deviation over cases, each case averaged over its seeds first."
    )
    lowest = rows["hd95_frac"].min()
    defined = "" if not lowest < 1 else f", where it is defined (at the least in {lowest:.0%} of them)"
    yield f"HD95: the larger of the two directed 95th percentiles, mean over cases and regions{defined}."
    yield "Tuned: parameters trained outside the decoder, in millions and in % of the backbone."
    yield f"MIXED protocols: {difference}." if difference else f"Protocol {first.protocol_id}."


def _count(word: str, numbers: Sequence[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
