"""Studies in MLflow: an experiment for each, with a parent run for the study and a nested run for each trial.

So the data sets' own experiments hold final runs only. The study's folder is the durable record;
logging it again replaces what the store has.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from shutil import copy

from bench.tracking.entries import TUNING
from bench.tracking.store import Store, reaching
from reports.records.run import flatten
from reports.records.study import PREFIX, STUDY_FILE, StudyRecord, TrialRecord, read_study

STUDY_TAG, DIGEST_TAG = "medtuning.study", "medtuning.study_digest"


def log_study(store: Store, record: StudyRecord, folder: Path) -> bool:
    """Make sure that the store holds exactly this study, with the pictures that lie in ``folder``.

    Returns False if it did already.

    Raises: TrackingError if the store cannot be reached.
    """
    digest = hashlib.sha256(json.dumps(asdict(record), sort_keys=True).encode()).hexdigest()
    with reaching(store.uri):
        experiment = store.find_experiment(TUNING + record.name)
        found = store.client.search_runs(
            [experiment], f"tags.`{STUDY_TAG}` = '{record.name}'", max_results=1000
        )
        if any(run.data.tags.get(DIGEST_TAG) == digest for run in found):
            return False
        for run in found:
            store.client.delete_run(run.info.run_id)
        tags = {
            STUDY_TAG: record.name,
            "synthetic": str(record.synthetic).lower(),
            "dataset": record.dataset,
        }
        parent = store.client.create_run(experiment, run_name=record.name, tags=tags)
        for key, value in flatten(
            {"tune": record.tune, "method": record.method, "weights": record.weights}
        ).items():
            store.client.log_param(parent.info.run_id, key, value)
        for key, value in _headline(record):
            store.client.log_metric(parent.info.run_id, key, value)
        for step, value in enumerate(record.best_so_far()):
            if value == value:
                store.client.log_metric(parent.info.run_id, "dice/best_so_far", value, step=step)
        with tempfile.TemporaryDirectory() as scratch:
            for file in [folder / STUDY_FILE, *sorted(folder.glob(f"{PREFIX}*.png"))]:
                copy(file, scratch)
            store.client.log_artifacts(parent.info.run_id, scratch)
        for trial in record.trials:
            _log_trial(store, experiment, parent.info.run_id, record, trial)
        store.client.set_tag(
            parent.info.run_id, DIGEST_TAG, digest
        )  # last: one without it was cut off
        store.client.set_terminated(parent.info.run_id)
    return True


def load_studies(store: Store, dataset: str | None = None) -> list[StudyRecord]:
    """Return the studies in the store, all or those of one data set, by name; one that was cut off is left out.

    Raises: TrackingError if the store cannot be reached.
    """
    found = []
    with reaching(store.uri), tempfile.TemporaryDirectory() as scratch:
        for experiment in store.client.search_experiments(filter_string=f"name LIKE '{TUNING}%'"):
            wanted = f"tags.`{DIGEST_TAG}` LIKE '%'"
            for run in store.client.search_runs(
                [experiment.experiment_id], wanted, max_results=1000
            ):
                folder = Path(scratch, run.info.run_id)
                folder.mkdir()
                file = store.client.download_artifacts(run.info.run_id, STUDY_FILE, str(folder))
                found.append(read_study(Path(file)))
    kept = [study for study in found if dataset in (None, study.dataset)]
    return sorted(kept, key=lambda study: study.name)


def _log_trial(
    store: Store, experiment: str, parent: str, record: StudyRecord, trial: TrialRecord
) -> None:
    tags = {"mlflow.parentRunId": parent, STUDY_TAG: record.name, "status": trial.status}
    if trial.reason:
        tags["mlflow.note.content"] = trial.reason
    run = store.client.create_run(experiment, run_name=f"trial {trial.number}", tags=tags)
    for key, value in trial.values.items():
        store.client.log_param(run.info.run_id, key, value)
    for key, number in {
        "dice/inner": trial.dice,
        "time/fit_s": trial.fit_s,
        "params/tuned": trial.params_tuned,
    }.items():
        if number is not None:
            store.client.log_metric(run.info.run_id, key, number)
    ended_well = trial.status in ("done", "pruned")
    store.client.set_terminated(run.info.run_id, "FINISHED" if ended_well else "FAILED")


def _headline(record: StudyRecord) -> Iterator[tuple[str, float]]:
    yield "trials", len(record.trials)
    yield "time/fit_s", record.fit_s
    for name, trial in (("default", record.default), ("tuned", record.best)):
        if trial is not None and trial.dice is not None:
            yield f"dice/{name}", trial.dice
