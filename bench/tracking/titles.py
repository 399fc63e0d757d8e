"""How MLflow lists runs, models and studies: by the names that tables print. Tags have the keys."""

from reports.names import BUILT_IN_NAMES, name_dataset
from reports.records.run import REFERENCE, RunResult
from reports.records.study import StudyRecord


def name_run(result: RunResult) -> str:
    """Return the name of a run among those of its data set; the tag ``run_id`` is its key."""
    names = BUILT_IN_NAMES
    words = [names.label(result.label), f"fold {result.fold}", f"seed {result.seed}"]
    if result.kind != REFERENCE:
        words += [names.find(result.backbone), names.find(result.weights)]
    return ", ".join(words)


def name_study(record: StudyRecord) -> str:
    """Return the name of a study; the tag ``medtuning.study`` is its key."""
    names = BUILT_IN_NAMES
    dataset = name_dataset(record.dataset, record.dataset_title, names)
    words = [names.label(record.method), dataset, f"fold {record.fold}"]
    if record.shots:
        words.append(f"{record.shots} training cases")
    words += [names.find(record.backbone), names.find(record.weights)]
    return ", ".join(words)
