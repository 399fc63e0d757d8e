"""A run's trained network as a logged model of MLflow, and the data that it was made from.

So ``mlflow.search_logged_models`` is the leaderboard: a model has the run's settings, and its
numbers name the held-out cases that they are of. Its artifact is the delta, which
``python -m bench predict --run FOLDER`` loads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.specs.run import DELTA_FILE
from bench.tracking.keys import LONGEST_NAME, key_of, param_of, tag_of
from bench.tracking.titles import name_run
from reports.records.plain import flatten
from reports.records.run import RESULT_FILE, RunResult, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

MODEL_TYPE = "segmentation"
TRAINING, TESTING = "training", "testing"  # MLflow's words for the use of a data set
CONTEXT_TAG = "mlflow.data.context"
CURVES = ("train/", "val/", "system/")  # metrics by epoch or by time
NOT_IN_A_NAME = re.compile(r"[/:.%\"']+")  # MLflow takes a model's name without these
DIGEST_SIGNS = 16  # MLflow takes 36
LONGEST_INPUT_TAG = 500


@dataclass(frozen=True)
class DataEntry:
    """The cases of a run, as MLflow lists a data set."""

    name: str
    digest: str
    context: str  # `TRAINING` or `TESTING`
    source: str  # JSON: release, fingerprint of the data, split
    profile: str  # JSON: what is counted
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ModelEntry:
    """One logged model."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    files: Sequence[Path]  # those that are missing are left out
    data: Sequence[DataEntry]  # the first are the held-out cases


def describe_model(result: RunResult, folder: Path) -> ModelEntry | None:
    """Return the logged model of a run, or None for a run that is not done."""
    if result.status != Status.DONE:
        return None
    settings = {
        "method": result.method,
        "label": result.label,
        "dataset": result.dataset,
        "backbone": result.backbone,
        "weights": result.weights,
        "fold": str(result.fold),
        "seed": str(result.seed),
    }
    for key, value in flatten({"method": result.settings}).items():
        settings[key_of(key)] = value if isinstance(value, str) else json.dumps(value)
    return ModelEntry(
        name=NOT_IN_A_NAME.sub("-", name_run(result))[:LONGEST_NAME],
        params={key: param_of(value) for key, value in settings.items()},
        tags={
            "run_id": tag_of(result.run_id),
            "protocol_id": tag_of(result.protocol_id),
            "synthetic": str(result.synthetic).lower(),
        },
        files=[folder / DELTA_FILE, folder / RESULT_FILE],
        data=[describe_data(result, TESTING), describe_data(result, TRAINING)],
    )


def describe_data(result: RunResult, context: str) -> DataEntry:
    """Return the held-out cases (`TESTING`) or the others (`TRAINING`) of a run's data set."""
    origin = {
        "dataset": result.dataset,
        "release": result.dataset_title,
        "fingerprint": result.data_fingerprint,
        "split": result.split_hash,
        "fold": str(result.fold),
    }
    source = json.dumps(origin)
    digest = hashlib.sha256(f"{context} {source}".encode()).hexdigest()
    n_cases = len({row.case for row in result.cases})
    counted = {"held_out_cases": n_cases} if context == TESTING else {}
    tags = {CONTEXT_TAG: context, **origin, "synthetic": str(result.synthetic).lower()}
    return DataEntry(
        name=result.dataset[:LONGEST_NAME],
        digest=digest[:DIGEST_SIGNS],
        context=context,
        source=source,
        profile=json.dumps(counted),
        tags={key: value for key, value in tags.items() if value},
    )


def begin_model(client: MlflowClient, experiment: str, run_id: str, entry: ModelEntry) -> str:
    """Make the logged model of a run, with what it was made from; return its id.

    It is not ready before `finish_model`.
    """
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(
        experiment, entry.name, run_id, dict(entry.tags), dict(entry.params), MODEL_TYPE
    )
    client.log_inputs(run_id, datasets=[_as_input(data) for data in entry.data])
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def link_metrics(metrics: Sequence[Metric], model_id: str, entry: ModelEntry) -> list[Metric]:
    """Return the metrics; those of the whole run name the model and its held-out cases."""
    from mlflow.entities import Metric

    data = entry.data[0]
    curves = {metric.key for metric in metrics if metric.step > 0}
    linked = []
    for each in metrics:
        if each.key in curves or each.key.startswith(CURVES):
            linked.append(each)
            continue
        number = (each.key, each.value, each.timestamp, each.step)
        linked.append(Metric(*number, model_id, data.name, data.digest))
    return linked


def finish_model(client: MlflowClient, model_id: str, entry: ModelEntry) -> None:
    """Send the files of a logged model, and mark it as ready."""
    for file in entry.files:
        if file.is_file():
            client.log_model_artifact(model_id, str(file))
    client.finalize_logged_model(model_id, "READY")


def delete_models(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Delete the logged models of a run that is deleted."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    for model in models:
        client.delete_logged_model(model.model_id)


def _as_input(data: DataEntry) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag(key, value[:LONGEST_INPUT_TAG]) for key, value in data.tags.items()]
    made = Dataset(data.name, data.digest, "medtuning", data.source, None, data.profile)
    return DatasetInput(made, tags)
