"""Studies in MLflow: an experiment for each, with a run for the study and a nested run per trial.

So the data sets' experiments hold final runs only. The study's folder is the durable record.
"""

from pathlib import Path

from bench.tracking.entry import NOTE_TAG, STUDIES, STUDY, Entry, Number, build_metrics, hash_record
from bench.tracking.keys import experiment_of, tag_of
from bench.tracking.reading import Reader
from bench.tracking.store import Store
from bench.tracking.titles import name_study
from reports.formats.markdown import escape
from reports.records.plain import flatten
from reports.records.run import Status
from reports.records.study import PICTURE_PREFIX, PRUNED, StudyRecord, TrialRecord, read_study
from reports.records.text import shorten_text


def log_study(store: Store, record: StudyRecord, folder: Path) -> bool:
    """Make sure that the store holds exactly this study; return False if it did already."""
    place = STUDIES + experiment_of(record.name)
    store.describe_study(place)
    return store.send(STUDY, place, describe_study(record, folder))


def load_studies(store: Reader, *datasets: str) -> list[StudyRecord]:
    """Return the studies in the store by name, all or those of some data sets."""
    found = store.load(STUDY, read_study)
    kept = [study for study in found if not datasets or study.dataset in datasets]
    return sorted(kept, key=lambda study: study.name)


def describe_study(record: StudyRecord, folder: Path) -> Entry:
    """Return what MLflow shows of a study; ``folder`` has its record and pictures."""
    settings = {"tune": record.tune, "method": record.method, "weights": record.weights}
    numbers: list[Number] = [("trials", len(record.trials), 0), ("time/fit_s", record.fit_s, 0)]
    for name, trial in (("default", record.default), ("tuned", record.best)):
        if trial is not None:
            numbers.append((f"dice/{name}", trial.dice, 0))
    for step, dice in enumerate(record.best_so_far()):
        numbers.append(("dice/best_so_far", dice, step))
    return Entry(
        name=name_study(record),
        tags={
            STUDY.key_tag: tag_of(record.name),
            STUDY.digest_tag: hash_record(record),
            "synthetic": str(record.synthetic).lower(),
            "dataset": tag_of(record.dataset),
        },
        params=flatten(settings),
        metrics=build_metrics(numbers),
        files=[folder / STUDY.file, *folder.glob(f"{PICTURE_PREFIX}*.png")],
        children=[_describe_trial(record, trial) for trial in record.trials],
    )


def _describe_trial(record: StudyRecord, trial: TrialRecord) -> Entry:
    tags = {STUDY.key_tag: tag_of(record.name), "status": tag_of(trial.status)}
    if trial.reason:
        tags[NOTE_TAG] = escape(shorten_text(trial.reason))
    numbers = [
        ("dice/inner", trial.dice, 0),
        ("time/fit_s", trial.fit_s, 0),
        ("params/tuned", trial.params_tuned, 0),
    ]
    return Entry(
        name=f"trial {trial.number}",
        tags=tags,
        params=trial.values,
        metrics=build_metrics(numbers),
        status="FINISHED" if trial.status in (Status.DONE, PRUNED) else "FAILED",
    )
