"""How an entry becomes a run of MLflow, whole: its state RUNNING ends with the last write."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tracking.entities.logged_models import begin_model, finish_model, link_metrics
from bench.tracking.entry import PARENT_TAG, Entry
from bench.tracking.keys import LONGEST_NAME, key_of, param_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH, PARAMS = 1000, 100  # the most metrics and params per request


def write_run(client: MlflowClient, experiment: str, entry: Entry, parent: str = "") -> None:
    """Write an entry with its children and its logged model below the run ``parent``."""
    tags = entry.tags | ({PARENT_TAG: parent} if parent else {})
    run = client.create_run(experiment, entry.start_ms, tags, entry.name[:LONGEST_NAME])
    run_id = run.info.run_id
    if entry.model is None:
        fill_run(client, run_id, entry, entry.metrics)
    else:
        model_id = begin_model(client, experiment, run_id, entry.model)
        fill_run(client, run_id, entry, link_metrics(entry.metrics, model_id, entry.model))
        finish_model(client, model_id, entry.model)
    for child in entry.children:
        write_run(client, experiment, child, run_id)
    client.set_terminated(run_id, entry.status, entry.end_ms)


def fill_run(client: MlflowClient, run_id: str, entry: Entry, metrics: Sequence[Metric]) -> None:
    """Send the params and files of an entry, and these metrics."""
    from mlflow.entities import Param

    params = []
    for key, value in entry.params.items():
        params.append(Param(key_of(*key.split("/")), param_of(str(value))))
    for start in range(0, len(params), PARAMS):
        client.log_batch(run_id, params=params[start : start + PARAMS])
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    if not entry.texts and not entry.files:
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in entry.texts.items():
            Path(scratch, name).write_text(text, encoding="utf-8")
        for file in entry.files:
            with suppress(FileNotFoundError):  # replaced by a command that sends it then
                shutil.copy(file, scratch)
        client.log_artifacts(run_id, scratch)
