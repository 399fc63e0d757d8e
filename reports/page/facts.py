"""What the HTML page shows beside tables and pictures, as plain data."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from reports.analysis.aggregates import mean_defined, share_defined
from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import average_seeds, describe_setting, setting_of
from reports.formats.spreadsheet import format_number
from reports.names import Names, name_dataset
from reports.page.panels import Found
from reports.records.metrics import METRICS
from reports.records.plain import flatten
from reports.records.run import REFERENCE, RunResult, Status
from reports.tables.table import Cell
from reports.tables.wording import list_values

DECIMALS = 4
LEADING_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(?= \[|$)")
ENVIRONMENT = (
    "device",
    "device_name",
    "n_devices",
    "threads",
    "precision",
    "python",
    "platform",
    "git_commit",
    "git_dirty",
)


def count_facts(results: Sequence[RunResult]) -> dict[str, str]:
    """Return the numbers at the top of the page."""
    n_done = sum(run.status == Status.DONE for run in results)
    cases = {(run.dataset, row.case) for run in results for row in run.cases}
    return {
        "runs done": f"{n_done} of {len(results)}",
        "methods": str(len(list_values(results, "label"))),
        "data sets": str(len(list_values(results, "dataset"))),
        "backbones": str(len({run.backbone for run in results if run.kind != REFERENCE})),
        "folds × seeds": str(len({(run.fold, run.seed) for run in results})),
        "held-out cases": str(len(cases)),
    }


def name_dataset_of(run: RunResult, names: Names) -> str:
    """Return how the data set of a run is printed."""
    return name_dataset(run.dataset, run.dataset_title, names)


def describe_synthetic(results: Sequence[RunResult], names: Names) -> str:
    """Return which data are synthetic and what to know of them; empty if none are."""
    made = [run for run in results if run.synthetic]
    if not made:
        return ""
    titles = dict.fromkeys(name_dataset_of(run, names) for run in made)
    which = f" of {', '.join(titles)}" if len(made) < len(results) else ""
    notes = dict.fromkeys(run.data_note for run in made if run.data_note)
    return " ".join([f"The volumes{which} are phantoms from a generator.", *notes])


def describe_cases(comparison: MethodComparison, panels: Found) -> dict[str, Any]:
    """Return the scores of every case of a setting with one protocol, and the panels of some.

    There is a list of scores per metric, region and method; undefined ones are None.
    """
    long = comparison.cases
    cases = sorted(long["case"].unique())
    labels = list(long["method"].unique())
    shown = _list_metrics()
    scores: dict[str, dict[str, list[Any]]] = {}
    for metric in shown:
        frame = average_seeds(long, metric["name"])
        of_region = scores.setdefault(metric["name"], {})
        for region in frame.columns:
            of_methods = frame[region].unstack("case").reindex(index=labels, columns=cases)
            of_region[region] = list(map(_round, of_methods.to_numpy()))
    volumes = long.groupby(["case", "region"])["reference_ml"].first().unstack("region")
    setting = comparison.title
    images = {}
    for case in cases:
        if (setting, case) in panels:
            images[case] = vars(panels[setting, case])
    return {
        "setting": setting,
        "labels": labels,
        "methods": list(map(comparison.names.label, labels)),
        "regions": list(comparison.regions),
        "region_names": {name: comparison.names.find(name) for name in comparison.regions},
        "cases": cases,
        "metrics": shown,
        "scores": scores,
        "reference_ml": {name: _round(volumes[name].reindex(cases)) for name in volumes},
        "panels": {
            case: vars(panels[setting, case]) for case in cases if (setting, case) in panels
        },
    }


def sort_value(cell: Cell) -> str:
    """Return the number by which a column is sorted: of a difference, before its interval."""
    if cell.is_number:
        return format_number(cell.value)
    found = LEADING_NUMBER.match(cell.text)
    return found[0] if found else ""


def _list_metrics() -> list[dict[str, Any]]:
    """Return what the page shows of a case and region: the metrics, then the predicted volume."""
    shown: list[dict[str, Any]] = []
    for name, metric in METRICS.items():
        how = {"heading": metric.heading, "factor": metric.factor, "digits": metric.digits}
        shown.append({"name": name, **how})
    shown.append({"name": "predicted_ml", "heading": "ml", "factor": 1.0, "digits": 2})
    return shown


def _round(values: Iterable[float]) -> list[float | None]:
    return [None if isnan(value) else round(float(value), DECIMALS) for value in values]


def mean_dice_pct(run: RunResult) -> float | None:
    """Return the mean Dice of a run; None if one of its regions has no value.

    The list of runs is sorted by it. A mean shortened by misses must not be among the others.
    """
    if share_defined(run.cases, "dice") < 1:
        return None
    mean = mean_defined(row.dice for row in run.cases)
    return 100 * mean.value if mean.n else None


def list_protocols(results: Sequence[RunResult], names: Names) -> list[dict[str, Any]]:
    """Return each protocol once: its id, where it was used, its fields under dotted names."""
    found: dict[str, dict[str, Any]] = {}
    for run in results:
        new = {"id": run.protocol_id, "n": 0, "used": {}, "fields": {}}
        entry = found.setdefault(run.protocol_id, new)
        entry["n"] += 1
        where = describe_setting(replace(setting_of(run), shots=None), names)
        entry["used"][where] = True
        for key, value in flatten(run.protocol).items():
            entry["fields"][key] = json.dumps(value)
    return list(found.values())


def list_environments(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return each environment once: machine, program, libraries, and its number of runs."""
    found: dict[str, dict[str, Any]] = {}
    for run in results:
        fields = {}
        for key in ENVIRONMENT:
            if run.provenance.get(key) is not None:
                fields[key] = str(run.provenance[key])
        packages = run.provenance.get("packages")
        if isinstance(packages, Mapping):
            fields |= {name: str(version) for name, version in packages.items()}
        entry = found.setdefault(json.dumps(fields), {"n": 0, "fields": fields})
        entry["n"] += 1
    return list(found.values())
