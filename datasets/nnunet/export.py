"""Write a data set as a raw folder that nnU-Net v2 plans as it is.

Images are copied or linked where nnU-Net can read them as they are: one channel a file, compressed,
all on one grid. Labels are always written anew: on the image's grid, with values 0, 1, 2, ...
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from datasets.base import (
    SYNTHETIC_MARKER,
    BadCasesError,
    Case,
    DataError,
    Dataset,
    DatasetInfo,
    Problem,
)
from datasets.files import make_folder, sync_folder, write_durably
from datasets.nnunet.description import CT
from datasets.nnunet.exported_case import ENDING, write_case
from datasets.nnunet.exported_labels import describe_labels, order_regions
from datasets.nnunet.folder import LABELS, TEST, TRAINING
from datasets.nnunet.naming import DESCRIPTION
from datasets.splits.file import AUTO, SPLITS_FILE, find_split_file
from datasets.splits.rule import split_cases
from datasets.volumes.pool import OnCase, ignore_progress, run_jobs


@dataclass(frozen=True)
class ExportOptions:
    """How to write."""

    number: int  # of the data set, 1 to 999
    n_folds: int = 5
    exclude: str = ""  # preset of cases to leave out
    link: bool = False  # images that can be read as they are
    skip_bad_cases: bool = False
    jobs: int = 1


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    n_training: int
    n_test: int
    regions: bool  # regions of several classes are labels; False: each class is one
    left_out: tuple[Problem, ...]


def export_dataset(
    dataset: Dataset, out: Path, options: ExportOptions, on_case: OnCase = ignore_progress
) -> Exported:
    """Write ``DatasetNNN_NAME`` into ``out``, whole or not at all.

    Raises: DataError if ``out`` has a data set of that number, or as `Dataset.find_cases`;
    BadCasesError with all cases that cannot be used, unless they are to be skipped.
    """
    info = dataset.info
    folder = out / f"Dataset{options.number:03d}_{_slug(info.name)}"
    _check_free(out, options.number)
    known = {each.case for each in dataset.discovery.errors} if options.skip_bad_cases else set()
    labelled = dataset.find_labelled(options.exclude, known)
    test = [case for case in dataset.find_cases(known) if case.label is None]
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        for name in (TRAINING, LABELS, TEST):
            make_folder(part / name)
        wrong = _write_cases(info, [*labelled, *test], part, options, on_case)
        if wrong and not options.skip_bad_cases:
            raise BadCasesError(f"{info.name}: {dataset.root}", wrong)
        bad = {each.case for each in wrong}
        labelled = [case for case in labelled if case.id not in bad]
        n_test = sum(case.id not in bad for case in test)
        _write_files(dataset, labelled, part, options)
        sync_folder(part)
        part.rename(folder)
        sync_folder(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # renamed already on success
    left_out = [each for each in dataset.discovery.errors if each.case in known]
    has_regions = order_regions(info) is not None
    return Exported(folder, len(labelled), n_test, has_regions, (*left_out, *wrong))


def _check_free(out: Path, number: int) -> None:
    if not 1 <= number <= 999:
        raise ValueError(f"--id: must be in 1..999, got {number}")
    taken = sorted(out.glob(f"Dataset{number:03d}_*")) if out.is_dir() else []
    if taken:
        hint = "nnU-Net allows one folder a number: give another --id"
        raise DataError(f"--id: {number} is taken by {taken[0]} ({hint})")


def _slug(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", re.sub(r"^Dataset\d{3}_", "", name))


def _write_cases(
    info: DatasetInfo, cases: Sequence[Case], part: Path, options: ExportOptions, on_case: OnCase
) -> list[Problem]:
    """Write the files of all cases; return which cannot be used, and remove what they left."""
    write = partial(_attempt, info, part, options.link)
    problems = {}
    for done, (case, fault) in enumerate(run_jobs(write, cases, options.jobs), start=1):
        if fault:
            problems[case.id] = Problem(case.id, fault)
        on_case(done, len(cases))
    return [problems[case.id] for case in cases if case.id in problems]


def _attempt(info: DatasetInfo, part: Path, link: bool, case: Case) -> str:
    """Write a case; return why that is impossible, or nothing."""
    images = part / (TEST if case.label is None else TRAINING)
    label = part / LABELS / f"{case.id}{ENDING}"
    targets = [images / f"{case.id}_{number:04d}{ENDING}" for number in range(len(info.channels))]
    try:
        write_case(info, case, targets, label, link=link)
    except DataError as error:
        for file in (*targets, label):
            file.unlink(missing_ok=True)
        return str(error)
    return ""


def _write_files(
    dataset: Dataset, cases: Sequence[Case], part: Path, options: ExportOptions
) -> None:
    """Write ``dataset.json``, the folds, and the marker of synthetic data."""
    info = dataset.info
    n_channels = len(info.channels)
    names = [CT.upper()] * n_channels if info.modality == "CT" else info.channels
    content = {
        "name": info.name,
        "description": info.title,
        "reference": info.reference,
        "channel_names": {str(number): name for number, name in enumerate(names)},
        **describe_labels(info),
        "numTraining": len(cases),
        "file_ending": ENDING,
    }
    if info.window is not None:
        content["window"] = asdict(info.window)
    patients = {case.id: case.patient for case in cases if case.patient != case.id}
    if patients:
        content["patients"] = patients
    write_durably(part / DESCRIPTION, json.dumps(content, indent=1))
    folds = _list_folds(dataset, cases, options.n_folds)
    write_durably(part / SPLITS_FILE, json.dumps(folds, indent=4))
    if dataset.synthetic:
        marker = dataset.root / SYNTHETIC_MARKER
        known = marker.read_bytes() if marker.is_file() else "{}\n"
        write_durably(part / SYNTHETIC_MARKER, known)


def _list_folds(
    dataset: Dataset, cases: Sequence[Case], n_folds: int
) -> list[Mapping[str, list[str]]]:
    """Return the folds that runs use: of the file in the root, else of the rule."""
    ids = {case.id for case in cases}
    file = find_split_file(AUTO, dataset.root)
    folds: list[Mapping[str, list[str]]] = []
    if file is not None:
        for fold in file.folds:
            folds.append({"train": sorted(fold.train & ids), "val": sorted(fold.val & ids)})
        return folds
    for number in range(n_folds):
        split = split_cases(cases, number, n_folds)
        folds.append({"train": sorted(split.train + split.val), "val": list(split.test)})
    return folds
