"""One case to be predicted, however it is named: by its folder, its files, or its id in a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets
from datasets.base import Case, DataError, Dataset, DatasetInfo, NoCasesError
from datasets.layouts.case_files import stem

VOLUME = (".nii", ".nii.gz")


def find_single_case(info: DatasetInfo, root: Path, inputs: Sequence[str]) -> Case:
    """Return the case that the user means; its label, if it has one, is left alone.

    ``inputs`` are CHANNEL=FILE for each channel, or one word: a volume that holds all channels, a
    folder with the files of one case, named as in the release, or the id of a case below ``root``,
    where the run found its data.

    Raises: DataError if that is not one case with the channels of ``info``.
    """
    pairs = dict(each.partition("=")[::2] for each in inputs)
    if all("=" in each for each in inputs):
        return _from_files(info, {channel: Path(path) for channel, path in pairs.items()})
    if len(inputs) != 1:
        raise DataError(
            f"input: must be one case, or CHANNEL=FILE for each channel, got {', '.join(inputs)}"
        )
    path = Path(inputs[0])
    if path.is_dir():
        return _from_folder(info, path)
    if path.name.endswith(VOLUME):
        return _from_volume(info, path)
    return _pick(
        info,
        datasets.build(info.name, root),
        inputs[0],
        f"with the id {inputs[0]} below {root}",
        root,
    )


def _from_files(info: DatasetInfo, files: dict[str, Path]) -> Case:
    if set(files) != set(info.channels):
        raise DataError(
            f"input: must give a file for each of {', '.join(info.channels)}, got {', '.join(files)}"
        )
    case_id = stem(files[info.channels[0]]).name
    return Case(case_id, case_id, {channel: files[channel] for channel in info.channels}, None)


def _from_volume(info: DatasetInfo, path: Path) -> Case:
    stack = _stack_of(info)
    if len(info.channels) > 1 and not stack:
        raise DataError(
            f"input: a case of {info.title} has {len(info.channels)} volumes, got the file {path} "
            f"(give its folder, or --input CHANNEL=FILE for each of {', '.join(info.channels)})"
        )
    case_id = stem(path).name
    return Case(case_id, case_id, dict.fromkeys(info.channels, path), None, stack)


def _stack_of(info: DatasetInfo) -> tuple[int, ...]:
    """Return where the channels lie in one file; empty if a case has a file for each, or but one channel."""
    if not info.release:
        return tuple(range(len(info.channels))) if len(info.channels) > 1 else ()
    return next(
        each.stack for each in datasets.get(info.name).releases if each.name == info.release
    )


def _from_folder(info: DatasetInfo, folder: Path) -> Case:
    """Look in the folder, and in the one above it: some releases tell a case by the name of its folder."""
    if not info.release:
        raise DataError(
            f"input: must be a file or CHANNEL=FILE, got the folder {folder} ({info.name} has a datalist)"
        )
    where = f"in the folder {folder}"
    try:
        return _pick(info, datasets.build(info.name, folder), None, where, folder)
    except NoCasesError:
        return _pick(
            info, datasets.build(info.name, folder.resolve().parent), None, where, folder.resolve()
        )


def _pick(
    info: DatasetInfo, dataset: Dataset, case_id: str | None, where: str, folder: Path
) -> Case:
    if dataset.info.channels != info.channels:
        raise DataError(f"input: must be of {info.title}, got {dataset.info.title} {where}")
    found = dataset.discovery
    if case_id is None:
        cases = [case for case in found.cases if _lies_below(case, folder)]
        wrong = [each for each in found.errors if str(folder) in each.message]
    else:
        cases = [case for case in found.cases if case.id == case_id]
        wrong = [each for each in found.errors if each.case == case_id]
    if wrong:
        raise DataError(wrong[0].message)
    if len(cases) != 1:
        names = ", ".join(case.id for case in cases[:3])
        raise DataError(
            f"input: must be one case, got {len(cases)} {where}{f' ({names}, ...)' if names else ''}"
        )
    return cases[0]


def _lies_below(case: Case, folder: Path) -> bool:
    return all(path.is_relative_to(folder) for path in case.images.values())
