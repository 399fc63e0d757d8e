"""What MLflow shows of a result: a few tags, params and metrics, and files with the rest."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cost.usage import read_usage
from reports.analysis.aggregates import aggregate_regions, average_metric
from reports.records.metrics import METRICS
from reports.records.plain import flatten, to_plain
from reports.records.run import RESULT_FILE, RunResult, Status, to_fields
from reports.records.slices import SLICES_FILE
from reports.records.study import STUDY_FILE

if TYPE_CHECKING:
    from mlflow.entities import Metric

CASE_FILE = "per_case.json"
TRACEBACK_FILE = "traceback.txt"
GROUP_TAG = "medtuning.group"  # of a parent run: the id of its command
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # a text that the UI shows first
STUDIES = "tuning/"  # begins the names of the experiments of studies, whose trials are no results
TABLES_TAG = "mlflow.loggedArtifacts"  # which JSON files the UI shows as tables
SYNTHETIC_NOTE = (
    "SYNTHETIC phantoms, not patient data: these numbers say nothing about a method's clinical use."
)
RUN_TAGS = (
    "run_id", "status", "reason", "method", "label", "dataset", "backbone", "weights",
    "fold", "seed", "protocol_id", "study", "group",
)  # fmt: skip

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

# Other endings are FAILED. A skipped run did nothing wrong, but it has no numbers.
MLFLOW_STATUS = {Status.DONE: "FINISHED", Status.SKIPPED: "KILLED"}
Number = tuple[str, float | None, int]  # name, value, step


@dataclass(frozen=True)
class Kind:
    """A kind of record, and how the store knows the runs that hold one."""

    key_tag: str  # names the record
    digest_tag: str  # hash of the record; parent runs, trials and runs of others lack it
    file: str


RESULT = Kind("run_id", "medtuning.digest", RESULT_FILE)
STUDY = Kind("medtuning.study", "medtuning.study_digest", STUDY_FILE)


@dataclass(frozen=True)
class Entry:
    """One run as MLflow is to show it."""

    name: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    status: str = "FINISHED"  # MLflow's word
    start_ms: int | None = None  # None: when it is sent
    end_ms: int | None = None


def describe_result(result: RunResult, folder: Path) -> Entry:
    """Return what MLflow shows of a result; ``folder`` has the usage of the machine."""
    start_ms, end_ms = times_ms(result)
    found = build_metrics(metrics(result), end_ms)
    for step, (at_ms, sample) in enumerate(read_usage(folder)):
        usage = [(f"system/{name}", value, step) for name, value in sample.items()]
        found += build_metrics(usage, at_ms)
    return Entry(
        name=f"{result.label} · {result.dataset} · {result.backbone}"
        f" · fold {result.fold} · seed {result.seed}",
        tags=tags(result),
        params=params(result),
        metrics=found,
        status=MLFLOW_STATUS.get(result.status, "FAILED"),
        start_ms=start_ms,
        end_ms=end_ms,
    )


def build_metrics(numbers: Iterable[Number], at_ms: int | None = None) -> list[Metric]:
    """Return MLflow's metrics, by default of now; None, nan and infinity are left out."""
    from mlflow.entities import Metric

    at_ms = int(1000 * time.time()) if at_ms is None else at_ms
    found = []
    for name, value, step in numbers:
        if value is not None and isfinite(value):
            found.append(Metric(name, value, at_ms, step))
    return found


def hash_record(record: Any) -> str:
    """Return the SHA-256 of a dataclass."""
    return hashlib.sha256(json.dumps(to_fields(record), sort_keys=True).encode()).hexdigest()


def tags(result: RunResult) -> dict[str, str]:
    """Return what runs are found and filtered by, and a note; empty values are left out."""
    notes = [SYNTHETIC_NOTE] if result.synthetic else []
    if result.reason:
        notes.append(f"{result.status}: {result.reason}")
    commit = str(result.provenance.get("git_commit") or "")
    found = {name: str(getattr(result, name)) for name in RUN_TAGS}
    found |= {
        "synthetic": str(result.synthetic).lower(),
        "device": str(result.provenance.get("device") or ""),
        "git_commit": commit,
        "mlflow.source.git.commit": commit,
        NOTE_TAG: " ".join(notes),
        RESULT.digest_tag: hash_record(result),
    }
    if result.cases:
        found[TABLES_TAG] = json.dumps([{"path": CASE_FILE, "type": "table"}])
    return {name: value for name, value in found.items() if value}


def params(result: RunResult) -> dict[str, str]:
    """Return the method's settings and the protocol under dotted names, such as ``method.rank``."""
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
    """Return when the run began and ended; it began now if the result does not say when."""
    start_ms = milliseconds(result.provenance.get("started_at") or datetime.now().isoformat())
    return start_ms, start_ms + int(1000 * result.provenance.get("wall_s", 0.0))


def write_artifacts(target: Path, result: RunResult, folder: Path) -> None:
    """Write the result and its table of cases into ``target``; copy pictures and slices there."""
    result.write(target)
    if result.cases:
        rows = [to_plain(row, "case") for row in result.cases]
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        (target / CASE_FILE).write_text(json.dumps(table))  # what the UI shows as a table
    if result.traceback:
        (target / TRACEBACK_FILE).write_text(result.traceback)
    for file in [*folder.glob("*.png"), *folder.glob(SLICES_FILE)]:
        shutil.copy(file, target)
