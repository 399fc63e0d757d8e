"""A run as MLflow is to show it, and how the store knows again what it holds."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.records.plain import to_plain
from reports.records.run import RESULT_FILE, Status
from reports.records.study import STUDY_FILE

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

    from bench.tracking.entities.logged_models import ModelEntry

GROUP_TAG = "medtuning.group"  # of a parent run: the id of its command
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # a text that the UI shows first
MADE_TAG = "medtuning.made"  # when a run was made, in ns
STATUS_TAG = "status"  # of a result
RUNNING = "RUNNING"  # MLflow's word; a run's status is set last, so one in this state was cut off
Number = tuple[str, float | None, int]  # name, value, step
STUDIES = "tuning/"  # begins the names of the experiments of studies, whose trials are no results


@dataclass(frozen=True)
class Kind:
    """A kind of record, and what the run that holds one is known by."""

    key_tag: str  # names the record
    digest_tag: str  # hash of the record; parent runs, trials and runs of others lack it
    file: str


RESULT = Kind("run_id", "medtuning.digest", RESULT_FILE)
STUDY = Kind("medtuning.study", "medtuning.study_digest", STUDY_FILE)


@dataclass(frozen=True)
class Entry:
    """One run of MLflow."""

    name: str
    tags: dict[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)  # sent as str(value)
    metrics: Sequence[Metric] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # artifacts by name
    files: Sequence[Path] = ()  # more artifacts
    children: Sequence[Entry] = ()
    model: ModelEntry | None = None
    status: str = "FINISHED"  # MLflow's word
    start_ms: int | None = None  # None: when it is sent
    end_ms: int | None = None


def tell_time() -> str:
    """Return the value of `MADE_TAG` for a run that is made now."""
    return f"{time.time_ns():020}"


def made_at(run: Run) -> tuple[str, str]:
    """Return by what runs of a store are ordered in time."""
    return run.data.tags.get(MADE_TAG, ""), run.info.run_id


def is_done(run: Run) -> bool:
    """Return whether a run of a store holds the whole result of a run that is done."""
    is_whole = RESULT.digest_tag in run.data.tags and run.info.status != RUNNING
    return is_whole and run.data.tags.get(STATUS_TAG) == Status.DONE


def build_metrics(numbers: Iterable[Number], at_ms: int | None = None) -> list[Metric]:
    """Return MLflow's metrics, by default of now; numbers that are None or nan are left out."""
    from mlflow.entities import Metric

    at_ms = int(1000 * time.time()) if at_ms is None else at_ms
    found = []
    for name, value, step in numbers:
        if value is not None and isfinite(value):
            found.append(Metric(name, value, at_ms, step))
    return found


def hash_record(record: Any) -> str:
    """Return the SHA-256 of a dataclass."""
    text = json.dumps(to_plain(record, "record", undefined=nan), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
