"""One case to be predicted, given by its folder, its files, or its id in a data set."""

from collections.abc import Sequence
from pathlib import Path

import datasets
from datasets.base import Case, DataError, Dataset, DatasetInfo, NoCasesError, list_first
from datasets.layouts.case_files import stem
from datasets.layouts.contents import find_format
from datasets.layouts.discovery import iter_files

VOLUME = (".nii", ".nii.gz")


def is_volume(path: Path) -> bool:
    """Return whether a file is NIfTI by its name."""
    return path.name.lower().endswith(VOLUME)


def find_single_case(
    info: DatasetInfo, root: Path, inputs: Sequence[str], release: str = ""
) -> Case:
    """Return the case that the user means; its label, if it has one, is not read.

    ``inputs`` are CHANNEL=FILE for each channel, or one word: a volume with all channels, a folder
    with the files of one case, or the id of a case below ``root``, where the run found its data.
    ``release`` names what the files are of; empty: as their names tell.

    Raises: DataError if that is not one case with the channels of ``info``.
    """
    if all("=" in each and not Path(each).exists() for each in inputs):
        return _take_files(info, [each.split("=", 1) for each in inputs])
    if len(inputs) != 1:
        rule = "must be one case, or CHANNEL=FILE for each channel"
        raise DataError(f"input: {rule}, got {', '.join(inputs)}")
    path = Path(inputs[0])
    if is_volume(path) and not path.is_dir():
        return _take_volume(info, path)
    _check_format(path)
    if path.is_dir():
        return _search_folder(info, path, release)
    dataset = _open(info, root, f"with the id {inputs[0]} below {root}", release)
    found = dataset.discovery.without_labels(info.channels)
    cases = [case for case in found.cases if case.id == inputs[0]]
    wrong = [each.message for each in found.errors if each.case == inputs[0]]
    return _take_only(cases, wrong, f"with the id {inputs[0]} below {root}")


def _check_format(path: Path) -> None:
    """Raise DataError for a file that is no NIfTI, or that does not exist."""
    kind = find_format(path)
    if kind is not None and not path.is_dir():
        rule = "must be NIfTI (.nii, .nii.gz)"
        raise DataError(f"input: {rule}, got {path}, which is {kind.title} ({kind.remedy})")
    if path.is_file() and not is_volume(path):
        raise DataError(f"input: must be NIfTI (.nii, .nii.gz), got the file {path}")
    if not path.exists() and (is_volume(path) or len(path.parts) > 1):
        raise DataError(f"input: there is no file or folder {path}")


def _take_files(info: DatasetInfo, pairs: Sequence[Sequence[str]]) -> Case:
    files = {channel: file for channel, file in pairs}
    if sorted(channel for channel, _ in pairs) != sorted(info.channels):
        rule = f"must give a file for each of {', '.join(info.channels)}"
        raise DataError(f"input: {rule}, got {', '.join(channel for channel, _ in pairs)}")
    images = {channel: Path(files[channel]) for channel in info.channels}
    for path in images.values():
        _check_format(path)
    case_id = stem(images[info.channels[0]]).name
    return Case(case_id, case_id, images, None)


def _take_volume(info: DatasetInfo, path: Path) -> Case:
    stack = _stack_of(info)
    if len(info.channels) > 1 and not stack:
        raise DataError(
            f"input: a case of {info.title} has {len(info.channels)} volumes, got the file {path} "
            f"(give its folder, or --input CHANNEL=FILE for each of {', '.join(info.channels)})"
        )
    _check_format(path)
    case_id = stem(path).name
    return Case(case_id, case_id, dict.fromkeys(info.channels, path), None, stack)


def _stack_of(info: DatasetInfo) -> tuple[int, ...]:
    """Return the index of each channel in one file; empty if each has a file of its own."""
    if info.release:
        return datasets.get(info.name).find_release(info.release).stack
    return tuple(range(len(info.channels))) if len(info.channels) > 1 else ()


def _search_folder(info: DatasetInfo, folder: Path, release: str) -> Case:
    """Search the folder, then the one above it: in some releases the folder's name is the case."""
    if not info.release:
        rule = f"must be a file or CHANNEL=FILE, got the folder {folder}"
        raise DataError(f"input: {rule} ({info.name} has a datalist)")
    where = f"in the folder {folder}"
    try:
        dataset = _open(info, folder, where, release)
    except NoCasesError:
        if not any(is_volume(file) for file in iter_files(folder)):
            raise
        folder = folder.resolve()
        dataset = _open(info, folder.parent, where, release)
    found = dataset.discovery.without_labels(info.channels)
    cases = []
    for case in found.cases:
        if all(path.is_relative_to(folder) for path in case.images.values()):
            cases.append(case)
    wrong = [each.message for each in found.errors if str(folder) in each.message]
    return _take_only(cases, wrong, where)


def open_like(info: DatasetInfo, root: Path, release: str = "") -> Dataset:
    """Return the data set of a root, of the release that is named, or as its files tell.

    Where they tell nothing, it is of the release of ``info``. Raises: as `datasets.build`.
    """
    try:
        return datasets.build(release or info.name, root)
    except NoCasesError:
        raise
    except DataError:
        if release:
            raise
        return datasets.build(datasets.family_of(info.name), root)


def _open(info: DatasetInfo, root: Path, where: str, release: str) -> Dataset:
    dataset = open_like(info, root, release)
    if dataset.info.channels != info.channels:
        raise DataError(f"input: must be of {info.title}, got {dataset.info.title} {where}")
    return dataset


def _take_only(cases: Sequence[Case], wrong: Sequence[str], where: str) -> Case:
    if wrong:
        raise DataError(wrong[0])
    if len(cases) != 1:
        listed = f" ({list_first([case.id for case in cases])})" if cases else ""
        raise DataError(f"input: must be one case, got {len(cases)} {where}{listed}")
    return cases[0]
