"""The cases that are to be predicted together: of a folder, of a datalist, or by their ids."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, NoCasesError, Problem
from datasets.nnunet.description import ENDINGS
from datasets.nnunet.folder import find_cases
from datasets.nnunet.naming import DESCRIPTION, is_folder_name
from datasets.single_case import find_single_case, is_volume, open_like


def find_many_cases(
    info: DatasetInfo, root: Path, inputs: Sequence[str], release: str = ""
) -> tuple[list[Case], list[Problem]]:
    """Return the cases that the user means, and what is wrong with others below a folder.

    Each input is a folder, a datalist, or what `find_single_case` takes. ``release`` names what
    files are of; empty: as their names tell.

    Raises: DataError if one holds no case with the channels of ``info``, or if two cases have one
    id.
    """
    cases: dict[str, Case] = {}
    problems: list[Problem] = []
    for text in inputs:
        found = _discover(info, root, text, release)
        wrong = [each for each in found.problems if not each.is_warning]
        if not found.cases and not wrong:
            raise DataError(f"--input: must hold a case of {info.title}, got none in {text}")
        problems += wrong
        for case in found.cases:
            if case.id in cases and cases[case.id].images != case.images:
                first = next(iter(cases[case.id].images.values()))
                rule = f"two cases have one id, {case.id}"
                raise DataError(f"--input: {rule}: {first} and one in {text}")
            cases[case.id] = case
    return list(cases.values()), _join_by_case(problems)


def _join_by_case(problems: Sequence[Problem]) -> list[Problem]:
    """Return one problem for each case, with all sentences; those of a whole root stay."""
    joined: dict[str, Problem] = {}
    alone = [each for each in problems if not each.case]
    for each in problems:
        known = joined.get(each.case)
        message = f"{known.message}; {each.message}" if known else each.message
        joined[each.case] = replace(each, message=message)
    joined.pop("", None)
    return [*alone, *joined.values()]


def _discover(info: DatasetInfo, root: Path, text: str, release: str) -> Discovery:
    path = Path(text)
    if datasets.is_datalist(text):
        return _check_channels(info, datasets.open_root(path.name, path))
    if not path.is_dir():
        return Discovery((find_single_case(info, root, [text], release),), ())
    if is_folder_name(info.name):
        return _search_nnunet(info, path)
    if info.release:
        try:
            return _check_channels(info, open_like(info, path, release))
        except NoCasesError:
            if _has_one_file(info):
                return _list_volumes(info, root, path)
            return Discovery((find_single_case(info, root, [text], release),), ())
    if not _has_one_file(info):
        rule = f"must be a datalist, got the folder {path}"
        hint = f"a case of {info.name} has {len(info.channels)} files, which a datalist tells apart"
        raise DataError(f"--input: {rule} ({hint})")
    return _list_volumes(info, root, path)


def _check_channels(info: DatasetInfo, dataset: Dataset) -> Discovery:
    if dataset.info.channels != info.channels:
        got = ", ".join(dataset.info.channels)
        rule = f"must have the channels {', '.join(info.channels)} of {info.title}"
        raise DataError(f"--input: {rule}, got {got} in {dataset.root}")
    return dataset.discovery.without_labels(info.channels)


def _search_nnunet(info: DatasetInfo, folder: Path) -> Discovery:
    """Search a raw folder of nnU-Net, or any folder of ``CASE_0000.nii.gz``."""
    if (folder / DESCRIPTION).is_file():
        return _check_channels(info, datasets.open_root(folder.resolve().name, folder))
    for ending in ENDINGS:
        cases, problems = find_cases(info, folder, ending)
        if cases or problems:
            return Discovery(tuple(cases), tuple(problems))
    return Discovery((), ())


def _has_one_file(info: DatasetInfo) -> bool:
    """Return whether a case is one file: of one channel, or of all on a fourth axis."""
    if info.release:
        return len(info.channels) == 1 or bool(
            datasets.get(info.name).find_release(info.release).stack
        )
    return len(info.channels) == 1


def _list_volumes(info: DatasetInfo, root: Path, folder: Path) -> Discovery:
    """Take each volume of a folder as a case."""
    cases = []
    for path in sorted(folder.iterdir()):
        if is_volume(path) and not path.name.startswith((".", "_")):
            cases.append(find_single_case(info, root, [str(path)]))
    return Discovery(tuple(cases), ())
