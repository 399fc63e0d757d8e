"""What the HTML page shows beside tables and pictures: cases, runs, protocols, environments; plain data all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any

import pandas as pd

from reports.analysis.aggregates import mean_defined
from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import average_seeds
from reports.records.metrics import METRICS
from reports.records.plain import flatten
from reports.records.run import RunResult

DECIMALS = 4
ENVIRONMENT = ("device", "device_name", "threads", "python", "platform", "git_commit", "git_dirty")


def describe_cases(
    tables: Sequence[MethodComparison], panels: dict[str, str]
) -> list[dict[str, Any]]:
    """Return per setting the scores of every case: a list per method, metric and region, null where not defined.

    ``panels`` has the anchor of the picture of a case, where there is one, under "setting/case".
    """
    found = []
    for table in tables:
        long = table.cases
        if long.empty or table.mixed:
            continue
        shown = list(_describe_metrics())
        frames = {each["name"]: average_seeds(long, each["name"]) for each in shown}
        cases = sorted(long["case"].unique())
        labels = list(long["method"].unique())
        scores = {
            metric: {
                region: [_list(frame[region].loc[label].reindex(cases)) for label in labels]
                for region in frame.columns
            }
            for metric, frame in frames.items()
        }
        volumes = (
            long.groupby(["case", "region"])["reference_ml"]
            .first()
            .unstack("region")
            .reindex(cases)
        )
        found.append(
            {
                "setting": str(table.setting),
                "methods": labels,
                "regions": list(table.regions),
                "cases": cases,
                "metrics": shown,
                "scores": scores,
                "reference_ml": {region: _list(volumes[region]) for region in volumes.columns},
                "panels": {
                    case: panels[key]
                    for case in cases
                    if (key := f"{table.setting}/{case}") in panels
                },
            }
        )
    return found


def _describe_metrics() -> Iterator[dict[str, Any]]:
    """Yield what the page shows of a case and region: the metrics, then the predicted volume."""
    for name, metric in METRICS.items():
        yield {
            "name": name,
            "heading": metric.heading,
            "factor": metric.factor,
            "digits": metric.digits,
        }
    yield {"name": "predicted_ml", "heading": "ml", "factor": 1.0, "digits": 2}


def _list(values: pd.Series[float]) -> list[float | None]:
    return [None if isnan(value) else round(float(value), DECIMALS) for value in values]


def describe_run(run: RunResult) -> dict[str, Any]:
    """Return the line of a run: what it was, how it ended, what it came to."""
    dice = mean_defined(row.dice for row in run.cases)
    return {
        "run_id": run.run_id,
        "method": run.label,
        "dataset": run.dataset,
        "backbone": run.backbone,
        "weights": run.weights,
        "fold": run.fold,
        "seed": run.seed,
        "status": str(run.status),
        "reason": run.reason,
        "dice": 100 * dice.value if dice.n else None,
        "best_epoch": run.best_epoch,
        "fit_s": run.cost.fit_s if run.cost else None,
        "device": run.provenance.get("device", ""),
        "protocol_id": run.protocol_id,
    }


def list_protocols(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return each protocol once: its id, where it was used, its fields under dotted names."""
    found: dict[str, dict[str, Any]] = {}
    for run in results:
        entry = found.setdefault(
            run.protocol_id, {"id": run.protocol_id, "n": 0, "used": {}, "fields": {}}
        )
        entry["n"] += 1
        entry["used"][f"{run.dataset} on {run.backbone} ({run.weights})"] = True
        entry["fields"] |= {key: json.dumps(value) for key, value in flatten(run.protocol).items()}
    return list(found.values())


def list_environments(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return each environment once: the machine, the program, the libraries, and how many runs it carried out."""
    found: dict[str, dict[str, Any]] = {}
    for run in results:
        fields = {
            key: str(run.provenance[key])
            for key in ENVIRONMENT
            if run.provenance.get(key) is not None
        }
        fields |= {
            name: str(version) for name, version in run.provenance.get("packages", {}).items()
        }
        entry = found.setdefault(json.dumps(fields), {"n": 0, "fields": fields})
        entry["n"] += 1
    return list(found.values())
