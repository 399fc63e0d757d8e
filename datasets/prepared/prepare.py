"""Prepare cases once: canonical, cropped to the body, on disk, so that training reads patches only.

Each case becomes a folder ``<cache>/<data set>/<case>-<key>/``, which depends on no fold and has
its name only when it is complete and on disk. The key covers the files' names, sizes and times and
the settings, so that a changed file is prepared again. So is a folder with a damaged file, or one
of an earlier version, which kept no checksums; its files are replaced one by one.
"""

import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from datasets.base import BadCasesError, Case, DataError, Dataset, DatasetInfo, Problem
from datasets.files import DAMAGE, FileError, file_name_of, sync_folder
from datasets.locks import hold_lock
from datasets.prepared.arrays import write_case
from datasets.prepared.capacity import check_room, choose_workers, estimate
from datasets.prepared.case import RECORD, PreparedCase, load_prepared, read_case_record
from datasets.prepared.integrity import FILES, find_damage
from datasets.prepared.keys import NATIVE, Preparation, key_of
from datasets.volumes.pool import OnCase, ignore_progress, run_jobs

LOCKS = ".locks"
NO_CHECKSUMS = "was prepared by an earlier version, which kept no checksums"

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
    with all cases whose files are unusable, after the others have been prepared. A damaged case is
    among them if the files that it was made of are gone.
    """
    info = dataset.info
    home = cache / info.name
    home.mkdir(parents=True, exist_ok=True)
    folders: dict[str, Path] = {}
    for case in cases:
        key = key_of(dataset, case, settings)
        folders[case.id] = home / f"{file_name_of(case.id)}-{key}"
    to_do, n_outdated = [], 0
    for case in cases:
        folder = folders[case.id]
        fault = find_fault(info, folder) if folder.is_dir() else "new"
        if fault:
            to_do.append((case, folder))
            n_outdated += fault.endswith(NO_CHECKSUMS)
    if n_outdated:
        log.warning("%s: %d cases: each %s; preparing again", info.name, n_outdated, NO_CHECKSUMS)
    needs = [estimate(case, settings.spacing_mm) for case, _ in to_do]
    check_room(info.name, needs, home)
    problems: dict[str, Problem] = {}
    done = len(cases) - len(to_do)
    attempt = partial(_try_to_prepare, info, settings)
    for (case, _), fault in run_jobs(attempt, to_do, choose_workers(needs, jobs)):
        if fault:
            problems[case.id] = Problem(case.id, fault)
        done += 1
        on_case(done, len(cases))
    if problems:
        in_order = [problems[case.id] for case in cases if case.id in problems]
        raise BadCasesError(f"{info.name}: {dataset.root}", in_order)
    return [_load(info, case, settings, folders[case.id]) for case in cases]


def prepare_case(
    info: DatasetInfo, case: Case, settings: Preparation, folder: Path
) -> PreparedCase:
    """Return the prepared case in a folder.

    It is prepared first if the folder does not exist, and again if one of its files is damaged.
    Raises: DataError if a file that it is made of is unusable.
    """
    locks = folder.parent / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    with hold_lock(locks / f"{folder.name}.lock"):
        if not folder.is_dir():
            log.info("preparing %s %s", info.name, case.id)
            with _new_folder(folder) as part:
                write_case(info, case, settings, part)
                sync_folder(part)
                part.rename(folder)
                sync_folder(folder.parent)
            _remove_outdated(folder)
        elif fault := find_fault(info, folder, thorough=True):
            level = logging.INFO if fault.endswith(NO_CHECKSUMS) else logging.WARNING
            log.log(level, "%s; case %s is prepared again", fault, case.id)
            try:
                _renew(info, case, settings, folder)
            except (DataError, OSError) as error:
                start = f"{fault}, and the case cannot be prepared again"
                raise DataError(f"{start}: {error} (bring back the files of the case)") from error
    return _load(info, case, settings, folder)


def find_fault(info: DatasetInfo, folder: Path, *, thorough: bool = False) -> str:
    """Return why a prepared case cannot be used, naming the file; "" if it can.

    ``thorough``: as in `find_damage`.
    """
    try:
        load_prepared(folder, info).frame()
        record = read_case_record(folder)
        if FILES not in record:
            return f"{folder} {NO_CHECKSUMS}"
        return find_damage(folder / RECORD, record, thorough=thorough)
    except FileError as error:
        return str(error)
    except DAMAGE as error:
        return f"{folder / RECORD}: a field is damaged, got {error!r}"


def _renew(info: DatasetInfo, case: Case, settings: Preparation, folder: Path) -> None:
    """Replace the files of a prepared case one by one, the record last; readers see old or new."""
    with _new_folder(folder) as part:
        write_case(info, case, settings, part)
        for path in sorted(part.iterdir(), key=lambda path: path.name == RECORD):
            path.replace(folder / path.name)
        sync_folder(folder)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside the one that is to be; it is removed at the end if it exists."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(info: DatasetInfo, case: Case, settings: Preparation, folder: Path) -> PreparedCase:
    renew = partial(prepare_case, info, case, settings, folder)
    return replace(load_prepared(folder, info), renew=renew)


def _try_to_prepare(info: DatasetInfo, settings: Preparation, job: tuple[Case, Path]) -> str:
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
