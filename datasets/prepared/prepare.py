"""Prepare cases once: canonical, cropped to the body, on disk, so that training reads patches only.

Each case becomes a folder ``<cache>/<data set>/<case>-<key>/``, which depends on no fold and has
its name only when it is complete and on disk. The key covers the files' names, sizes and times and
the settings, so that a changed file is prepared again.
"""

import logging
import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from filelock import FileLock

from datasets.base import BadCasesError, Case, DataError, Dataset, DatasetInfo, Problem
from datasets.files import FileError, file_name_of, sync_folder
from datasets.prepared.arrays import write_case
from datasets.prepared.capacity import check_room, choose_workers, estimate
from datasets.prepared.case import PreparedCase, load_prepared, read_case_record
from datasets.prepared.keys import NATIVE, Preparation, key_of
from datasets.volumes.pool import OnCase, ignore_progress, run_jobs

LOCKS = ".locks"

log = logging.getLogger(__name__)


def prepare(
    dataset: Dataset,
    cases: Sequence[Case],
    cache: Path,
    on_case: OnCase = ignore_progress,
    settings: Preparation = NATIVE,
    jobs: int | None = None,  # cases at once, if memory allows; None: one a core
) -> list[PreparedCase]:
    """Return the cases as prepared, in the given order; prepare new and changed ones.

    Several processes may do this in one cache.

    Raises: DataError if the disk has too little room, before anything is written; BadCasesError
    with all cases whose files are unusable, after the others have been prepared.
    """
    info = dataset.info
    home = cache / info.name
    home.mkdir(parents=True, exist_ok=True)
    folders: dict[str, Path] = {}
    for case in cases:
        key = key_of(dataset, case, settings)
        folders[case.id] = home / f"{file_name_of(case.id)}-{key}"
    to_do = [(case, folders[case.id]) for case in cases if not folders[case.id].is_dir()]
    needs = [estimate(case, settings.spacing_mm) for case, _ in to_do]
    check_room(info.name, needs, home)
    problems: dict[str, Problem] = {}
    done = len(cases) - len(to_do)
    attempt = partial(_find_fault, info, settings)
    for (case, _), fault in run_jobs(attempt, to_do, choose_workers(needs, jobs)):
        if fault:
            problems[case.id] = Problem(case.id, fault)
        done += 1
        on_case(done, len(cases))
    if problems:
        in_order = [problems[case.id] for case in cases if case.id in problems]
        raise BadCasesError(f"{info.name}: {dataset.root}", in_order)
    return [load_prepared(folders[case.id], info) for case in cases]


def prepare_case(
    info: DatasetInfo, case: Case, settings: Preparation, folder: Path
) -> PreparedCase:
    """Return the prepared case in a folder; prepare it first if the folder does not exist."""
    locks = folder.parent / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{folder.name}.lock"):  # the system frees it when its holder dies
        if not folder.is_dir():
            log.info("preparing %s %s", info.name, case.id)
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            part.mkdir()
            try:
                write_case(info, case, settings, part)
                sync_folder(part)
                part.rename(folder)
                sync_folder(folder.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)  # renamed already on success
            _remove_outdated(folder)
    return load_prepared(folder, info)


def _find_fault(info: DatasetInfo, settings: Preparation, job: tuple[Case, Path]) -> str:
    """Prepare a case into a folder; return why that is impossible, or nothing."""
    try:
        prepare_case(info, job[0], settings, job[1])
    except DataError as error:
        return str(error)
    return ""


def _remove_outdated(folder: Path) -> None:
    """Remove folders of the same files, with the same settings, from before the files changed."""
    record = read_case_record(folder)
    case_id = record["id"]
    name = re.escape(file_name_of(case_id))
    for other in folder.parent.iterdir():
        if other == folder or not re.fullmatch(rf"{name}-[0-9a-f]{{12}}", other.name):
            continue
        try:
            old = read_case_record(other)
        except FileError:  # an error for those who need it
            continue
        if (old.get("source"), old.get("settings")) == (record["source"], record["settings"]):
            text = "%s: the files of case %s have changed; %s is removed"
            log.warning(text, record["dataset"], case_id, other)
            shutil.rmtree(other)
