"""What MLflow shows of a result: a few tags, params and metrics, and files with the rest."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from bench.cost.usage import read_usage
from bench.tracking.entities.logged_models import describe_model
from bench.tracking.entry import NOTE_TAG, RESULT, Entry, build_metrics, hash_record
from bench.tracking.keys import key_of, tag_of
from bench.tracking.titles import name_run
from reports.analysis.aggregates import average_metric, share_defined
from reports.formats.markdown import escape
from reports.records.cost import Cost, read_cost
from reports.records.metrics import METRICS
from reports.records.plain import flatten, to_plain
from reports.records.run import RESULT_FILE, CaseScore, RunResult, Status
from reports.records.slices import SLICES_FILE
from reports.records.text import shorten_text

CASE_FILE = "per_case.json"
TRACEBACK_FILE = "traceback.txt"
LONGEST_S = 1e9  # of a run; a longer time is damage
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
    "params_tuned_frac": "params/tuned_frac",
    "params_other": "params/other",
    "params_trained": "params/tuned_with_decoder",
    "params_trained_frac": "params/tuned_with_decoder_frac",
    "params_total": "params/total",
    "params_total_frac": "params/total_frac",
    "compute.forward_gflop": "compute/forward_gflop",
    "compute.training_gflop": "compute/training_gflop",
    "compute.volume_gflop": "compute/volume_gflop",
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


def describe_result(result: RunResult, folder: Path) -> Entry:
    """Return what MLflow shows of a result; ``folder`` has pictures and the machine's usage."""
    start_ms, end_ms = times_ms(result)
    numbers = build_metrics(metrics(result), end_ms)
    for step, (at_ms, sample) in enumerate(read_usage(folder)):
        usage = [(f"system/{name}", value, step) for name, value in sample.items()]
        numbers += build_metrics(usage, at_ms)
    return Entry(
        name=name_run(result),
        tags=tags(result),
        params=params(result),
        metrics=numbers,
        texts=texts(result),
        files=[*folder.glob("*.png"), *folder.glob(SLICES_FILE)],
        status=MLFLOW_STATUS.get(result.status, "FAILED"),
        start_ms=start_ms,
        end_ms=end_ms,
        model=describe_model(result, folder),
    )


def tags(result: RunResult) -> dict[str, str]:
    """Return what runs are found and filtered by, and a note; empty values are left out."""
    notes = [SYNTHETIC_NOTE] if result.synthetic else []
    if result.data_note:
        notes.append(result.data_note)
    if result.reason:
        notes.append(f"{result.status}: {escape(shorten_text(result.reason))}")
    commit = str(result.provenance.get("git_commit") or "")
    found = {name: str(getattr(result, name)) for name in RUN_TAGS}
    found |= {
        "data_family": result.release.family if result.release else "",
        "synthetic": str(result.synthetic).lower(),
        "device": str(result.provenance.get("device") or ""),
        "device_name": str(result.provenance.get("device_name") or ""),
        "compiled": "true" if result.is_compiled else "",
        "git_commit": commit,
        "mlflow.source.git.commit": commit,
        NOTE_TAG: " ".join(notes),
        RESULT.digest_tag: hash_record(result),
    }
    if result.cases:
        found[TABLES_TAG] = json.dumps([{"path": CASE_FILE, "type": "table"}])
    return {name: tag_of(value) for name, value in found.items() if value}


def params(result: RunResult) -> dict[str, str]:
    """Return the method's settings and the protocol under dotted names, such as ``method.rank``."""
    flat = flatten(result.protocol | {"method": {"name": result.method} | result.settings})
    return {key: each if isinstance(each, str) else json.dumps(each) for key, each in flat.items()}


def texts(result: RunResult) -> dict[str, str]:
    """Return the text files: the result, its cases as a table for the UI, and a traceback."""
    found = {RESULT_FILE: result.to_json()}
    if result.cases:
        rows = [to_plain(row, "case") for row in result.cases]
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        found[CASE_FILE] = json.dumps(table)
    if result.traceback:
        found[TRACEBACK_FILE] = result.traceback
    return found


def metrics(result: RunResult) -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step): the numbers of the chosen epoch, at step 0, and the curves."""
    for name in METRICS:
        for region in (*dict.fromkeys(row.region for row in result.cases), "mean"):
            rows = [row for row in result.cases if region in (row.region, "mean")]
            yield from _describe_mean(key_of(name, region), rows, name)
    if result.best_epoch is not None:
        yield "best_epoch", result.best_epoch, 0
    if result.cost is not None:
        yield from _list_costs(result.cost)
    for record in result.curve:
        yield "train/loss", record.train_loss, record.epoch
        yield "train/lr", record.learning_rate, record.epoch
        if record.decoder_learning_rate is not None:
            yield "train/decoder_lr", record.decoder_learning_rate, record.epoch
        if record.val_dice is not None:
            yield "val/dice", record.val_dice, record.epoch
            if record.epoch == result.best_epoch:
                yield "best_val_dice", record.val_dice, 0


def _list_costs(cost: Cost) -> Iterator[tuple[str, float, int]]:
    for path, name in COSTS.items():
        value = read_cost(cost, path)
        if value is not None:
            yield name, value, 0


def _describe_mean(
    key: str, rows: Sequence[CaseScore], metric: str
) -> Iterator[tuple[str, float, int]]:
    """Yield a mean, under a name of its own where some scores are undefined, and their share.

    The UI compares runs by one name. A mean shortened by misses must not be among the others.
    """
    mean = average_metric(rows, metric).all
    share = share_defined(rows, metric)
    if not mean.n:
        return
    if share == 1:
        yield key, mean.value, 0
        return
    yield f"{key}_where_defined", mean.value, 0
    yield f"{key}_defined_frac", share, 0


def milliseconds(moment: object) -> int:
    """Return an ISO 8601 time as MLflow counts it; now, if it is none."""
    try:
        return int(datetime.fromisoformat(str(moment)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return int(1000 * time.time())


def times_ms(result: RunResult) -> tuple[int, int]:
    """Return when the run began and ended; it began now if the result does not say when."""
    start_ms = milliseconds(result.provenance.get("started_at"))
    wall_s = result.provenance.get("wall_s")
    if not isinstance(wall_s, int | float) or not 0 <= wall_s < LONGEST_S:
        wall_s = 0.0
    return start_ms, start_ms + int(1000 * wall_s)
