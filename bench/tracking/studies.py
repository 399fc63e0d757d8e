"""Studies in MLflow: an experiment for each, with a run for the study and a nested run per trial.

So the data sets' experiments hold final runs only. The study's folder is the durable record.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import copy

from bench.tracking.connection import reaching
from bench.tracking.entries import (
    NOTE_TAG,
    PARENT_TAG,
    STUDIES,
    STUDY,
    Entry,
    build_metrics,
    hash_record,
)
from bench.tracking.store import Store
from reports.records.plain import flatten
from reports.records.study import PICTURE_PREFIX, STUDY_FILE, StudyRecord, TrialRecord, read_study


def log_study(store: Store, record: StudyRecord, folder: Path) -> bool:
    """Make sure that the store holds exactly this study, with the pictures in ``folder``.

    Returns False if it did already.

    Raises: TrackingError if the store cannot be reached.
    """
    entry = describe_study(record)
    with reaching(store.uri):
        experiment = store.find_experiment(STUDIES + record.name)
        if store.find_or_clear(STUDY, experiment, entry) is not None:
            return False
        with store.new_run(experiment, entry) as study, tempfile.TemporaryDirectory() as scratch:
            for file in [folder / STUDY_FILE, *sorted(folder.glob(f"{PICTURE_PREFIX}*.png"))]:
                copy(file, scratch)
            store.client.log_artifacts(study, scratch)
            for trial in record.trials:
                with store.new_run(experiment, describe_trial(record, trial, study)):
                    pass
    return True


def load_studies(store: Store, dataset: str | None = None) -> list[StudyRecord]:
    """Return the studies in the store by name, all or those of one data set.

    Studies that were sent in part are left out.

    Raises: TrackingError if the store cannot be reached.
    """
    with reaching(store.uri), tempfile.TemporaryDirectory() as scratch:
        runs = store.iter_whole_runs(STUDY)
        found = [read_study(store.fetch_record(STUDY, run, Path(scratch))) for run in runs]
    kept = [study for study in found if dataset in (None, study.dataset)]
    return sorted(kept, key=lambda study: study.name)


def describe_study(record: StudyRecord) -> Entry:
    """Return what MLflow shows of a study."""
    settings = {"tune": record.tune, "method": record.method, "weights": record.weights}
    numbers: list[tuple[str, float | None, int]] = [
        ("trials", len(record.trials), 0),
        ("time/fit_s", record.fit_s, 0),
    ]
    for name, trial in (("default", record.default), ("tuned", record.best)):
        if trial is not None:
            numbers.append((f"dice/{name}", trial.dice, 0))
    for step, dice in enumerate(record.best_so_far()):
        numbers.append(("dice/best_so_far", dice, step))
    return Entry(
        name=record.name,
        tags={
            STUDY.key_tag: record.name,
            STUDY.digest_tag: hash_record(record),
            "synthetic": str(record.synthetic).lower(),
            "dataset": record.dataset,
        },
        params={key: str(value) for key, value in flatten(settings).items()},
        metrics=build_metrics(numbers),
    )


def describe_trial(record: StudyRecord, trial: TrialRecord, parent: str) -> Entry:
    """Return what MLflow shows of a trial, below the run of its study."""
    tags = {PARENT_TAG: parent, STUDY.key_tag: record.name, "status": trial.status}
    if trial.reason:
        tags[NOTE_TAG] = trial.reason
    numbers = [
        ("dice/inner", trial.dice, 0),
        ("time/fit_s", trial.fit_s, 0),
        ("params/tuned", trial.params_tuned, 0),
    ]
    ended_well = trial.status in ("done", "pruned")
    return Entry(
        name=f"trial {trial.number}",
        tags=tags,
        params={key: str(value) for key, value in trial.values.items()},
        metrics=build_metrics(numbers),
        status="FINISHED" if ended_well else "FAILED",
    )
