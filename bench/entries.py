"""What MLflow shows of a result: name, tags, params, metrics, files. Few of each; the rest is in the files."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, astuple, fields
from datetime import datetime
from pathlib import Path

from bench.results import CaseScore, RunResult, Status, flatten
from reports.aggregates import aggregate_regions, mean_defined

CASE_FILE = "per_case.csv"
PICTURES = ("overlay.png",)  # sent if the run has left them in its folder
DIGEST_TAG = "medtuning.digest"  # hash of the result; runs of other projects do not have it
SYNTHETIC_NOTE = "SYNTHETIC phantoms, not patient data: these numbers say nothing about a method's clinical use."

# A skipped run did nothing wrong, but it has no numbers either: FINISHED is kept for runs that have.
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
    names = ("run_id", "status", "reason", "method", "dataset", "backbone", "weights", "fold", "seed", "protocol_id")
    notes = [SYNTHETIC_NOTE] if result.synthetic else []
    if result.reason:
        notes.append(f"{result.status}: {result.reason}")
    found = {name: str(getattr(result, name)) for name in names} | {
        "synthetic": str(result.synthetic).lower(),
        "git_commit": str(result.provenance.get("git_commit") or ""),
        "mlflow.note.content": " ".join(notes),
        DIGEST_TAG: hashlib.sha256(json.dumps(asdict(result), sort_keys=True).encode()).hexdigest(),
    }
    return {name: value for name, value in found.items() if value}


def params(result: RunResult) -> dict[str, str]:
    """Return the method's settings and the protocol under dotted names, such as ``method.rank`` and ``train.lr``."""
    flat = flatten(result.protocol | {"method": {"name": result.method} | result.settings})
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}


def metrics(result: RunResult) -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step): the headline numbers at step 0 and the curves at their epochs."""
    for aggregate in aggregate_regions(result.cases):
        for name in ("dice", "hd95_mm", "nsd"):
            mean = getattr(aggregate, name).all
            if mean.n:
                yield f"{name}/{aggregate.region}", mean.value, 0
    overall = mean_defined(row.dice for row in result.cases)
    if overall.n:
        yield "dice/mean", overall.value, 0
    if result.cost is not None:
        yield "params/tuned", result.cost.params_tuned, 0
        yield "params/other", result.cost.params_other, 0
        yield "params/tuned_frac", result.cost.params_tuned_frac, 0
        yield "time/fit_s", result.cost.fit_s, 0
        yield "memory/peak_mib", result.cost.peak_memory_mib, 0
    if result.best_epoch is not None:
        yield "best_epoch", result.best_epoch, 0
    for record in result.curve:
        yield "train/loss", record.train_loss, record.epoch
        yield "train/lr", record.learning_rate, record.epoch
        if record.val_dice is not None:
            yield "val/dice", record.val_dice, record.epoch


def times_ms(result: RunResult) -> tuple[int, int]:
    """Return when the run began and ended, as far as it says; else now."""
    started = result.provenance.get("started_at")
    start_s = (datetime.fromisoformat(started) if started else datetime.now()).timestamp()
    length_s = result.cost.fit_s + result.cost.score_s if result.cost else 0.0
    return int(start_s * 1000), int((start_s + length_s) * 1000)


def write_artifacts(target: Path, result: RunResult, folder: Path) -> None:
    """Write the result, its table of cases and the pictures that lie in the run's ``folder`` into ``target``."""
    result.write(target)
    with (target / CASE_FILE).open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(column.name for column in fields(CaseScore))
        table.writerows(astuple(row) for row in result.cases)
    for name in PICTURES:
        if (folder / name).is_file():
            shutil.copy(folder / name, target)
