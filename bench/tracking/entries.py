"""What MLflow shows of a result: name, tags, params, metrics, files. Few of each; the rest is in the files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from reports.analysis.aggregates import aggregate_regions, average_metric
from reports.records.metrics import METRICS
from reports.records.run import RunResult, Status, flatten, to_fields, to_plain
from reports.records.slices import SLICES_FILE

CASE_FILE = "per_case.json"
TRACEBACK_FILE = "traceback.txt"
DIGEST_TAG = "medtuning.digest"  # hash of the result; runs of other projects do not have it, parent runs neither
GROUP_TAG = "medtuning.group"  # of a parent run: the id of its command
PARENT_TAG = "mlflow.parentRunId"
TABLES_TAG = "mlflow.loggedArtifacts"  # which JSON files the UI shows as tables
TUNING = "tuning/"  # begins the names of experiments with tuning trials, which are no results
SYNTHETIC_NOTE = (
    "SYNTHETIC phantoms, not patient data: these numbers say nothing about a method's clinical use."
)

# The headline numbers of `results.Cost`, by their place in it.
COSTS = {
    "params_tuned": "params/tuned",
    "params_other": "params/other",
    "params_tuned_frac": "params/tuned_frac",
    "compute.forward_gmac": "compute/forward_gmac",
    "compute.training_gmac": "compute/training_gmac",
    "peak_memory_mib": "memory/peak_mib",
    "memory.peak_mib": "memory/step_peak_mib",
    "memory.saved_for_backward_mib": "memory/saved_for_backward_mib",
    "fit_s": "time/fit_s",
    "train_step.median_s": "time/train_step_s",
    "inference.median_s": "time/inference_s",
    "merged.inference.median_s": "time/inference_merged_s",
    "energy_j": "energy/fit_j",
    "delta_mib": "storage/delta_mib",
}

# A skipped run did nothing wrong, but it has no numbers either: FINISHED is kept for runs that
# have.
MLFLOW_STATUS = {
    Status.DONE: "FINISHED",
    Status.DIVERGED: "FAILED",
    Status.FAILED: "FAILED",
    Status.OOM: "FAILED",
    Status.SKIPPED: "KILLED",
}


def run_name(result: RunResult) -> str:
    """Return how the run is called in lists and legends."""
    return f"{result.label} · {result.dataset} · {result.backbone} · fold {result.fold} · seed {result.seed}"


def tags(result: RunResult) -> dict[str, str]:
    """Return what runs are found and filtered by, and a note that is seen first; empty values are left out."""
    names = (
        "run_id",
        "status",
        "reason",
        "method",
        "label",
        "dataset",
        "backbone",
        "weights",
        "fold",
        "seed",
    )
    notes = [SYNTHETIC_NOTE] if result.synthetic else []
    if result.reason:
        notes.append(f"{result.status}: {result.reason}")
    commit = str(result.provenance.get("git_commit") or "")
    found = {
        name: str(getattr(result, name)) for name in (*names, "protocol_id", "study", "group")
    } | {
        "synthetic": str(result.synthetic).lower(),
        "device": str(result.provenance.get("device") or ""),
        "git_commit": commit,
        "mlflow.source.git.commit": commit,
        "mlflow.note.content": " ".join(notes),
        DIGEST_TAG: hashlib.sha256(
            json.dumps(to_fields(result), sort_keys=True).encode()
        ).hexdigest(),
        TABLES_TAG: json.dumps([{"path": CASE_FILE, "type": "table"}]) if result.cases else "",
    }
    return {name: value for name, value in found.items() if value}


def params(result: RunResult) -> dict[str, str]:
    """Return the method's settings and the protocol under dotted names, such as ``method.rank`` and ``train.lr``."""
    flat = flatten(result.protocol | {"method": {"name": result.method} | result.settings})
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()
    }


def metrics(result: RunResult) -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step): the headline numbers (of the chosen epoch, not the last) at step 0, the curves."""
    aggregates = aggregate_regions(result.cases)
    for name in METRICS:
        for aggregate in aggregates:
            mean = aggregate.means[name].all
            if mean.n:
                yield f"{name}/{aggregate.region}", mean.value, 0
        overall = average_metric(result.cases, name).all
        if overall.n:
            yield f"{name}/mean", overall.value, 0
    if result.best_epoch is not None:
        yield "best_epoch", result.best_epoch, 0
        chosen = [record.val_dice for record in result.curve if record.epoch == result.best_epoch]
        if chosen and chosen[0] is not None:
            yield "best_val_dice", chosen[0], 0
    if result.cost is not None:
        found = flatten(asdict(result.cost))
        yield from (
            (name, found[key], 0) for key, name in COSTS.items() if found.get(key) is not None
        )
    for record in result.curve:
        yield "train/loss", record.train_loss, record.epoch
        yield "train/lr", record.learning_rate, record.epoch
        if record.val_dice is not None:
            yield "val/dice", record.val_dice, record.epoch


def milliseconds(moment: str) -> int:
    """Return an ISO 8601 time as MLflow counts it."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def times_ms(result: RunResult) -> tuple[int, int]:
    """Return when the run began and ended; a result that does not say when it began is from now."""
    start_ms = milliseconds(result.provenance.get("started_at") or datetime.now().isoformat())
    return start_ms, start_ms + int(1000 * result.provenance.get("wall_s", 0.0))


def write_artifacts(target: Path, result: RunResult, folder: Path) -> None:
    """Write the result, its table of cases, and the pictures and slices of the run's ``folder`` into ``target``."""
    result.write(target)
    if result.cases:
        rows = [to_plain(row, "case") for row in result.cases]
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        (target / CASE_FILE).write_text(json.dumps(table))  # what the UI shows as a table
    if result.traceback:
        (target / TRACEBACK_FILE).write_text(result.traceback)
    for file in [*folder.glob("*.png"), *folder.glob(SLICES_FILE)]:
        shutil.copy(file, target)
