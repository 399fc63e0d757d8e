"""Label files of a user's own data set: a datalist, or a raw folder of nnU-Net."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
from datasets.base import Case, DataError, Dataset
from datasets.layouts.case_files import stem
from datasets.nnunet.naming import DESCRIPTION, is_folder_name

LEVELS = 2  # that a folder of labels may be below the raw folder


def is_own(name: str) -> bool:
    """Return whether a data set is a datalist or a raw folder of nnU-Net."""
    return datasets.is_datalist(name) or is_folder_name(name)


def open_own(name: str, reference: Path) -> Dataset:
    """Return the data set of some references: the datalist, or the raw folder that they are in.

    Raises: DataError if the references are in no such folder, or as `datasets.build`.
    """
    if datasets.is_datalist(name):
        return datasets.build(name, Path(name))
    place = reference.absolute()
    for folder in (place / name, place, *place.parents[:LEVELS]):
        if (folder / DESCRIPTION).is_file():
            return datasets.build(name, folder)
    rule = f"--reference must be in the raw folder {name}, which has a {DESCRIPTION}"
    raise DataError(f"score: {rule}, got {reference}")


def find_own_references(dataset: Dataset, files: Sequence[Path]) -> dict[str, Case]:
    """Return the cases by id whose label is among the files; others are named as their file.

    Files that are no label are passed over if there is a label of the data set among them.
    """
    by_label = {case.label.resolve(): case for case in dataset.discovery.cases if case.label}
    known = {case.id: case for case in dataset.discovery.cases}
    found = {}
    for file in files:
        case = by_label.get(file.resolve())
        if case is not None:
            found[case.id] = replace(case, label=file)
    if found:
        return found
    for file in files:  # such as labelsTs, which nnU-Net does not list
        name = stem(file).name
        images = known[name].images if name in known else {}
        stack = known[name].stack if name in known else ()
        found[name] = Case(name, name, images, file, stack)
    return found


def name_own_predictions(cases: dict[str, Case], files: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return the case of each prediction, which is named as the case or as its label."""
    by_name = {}
    for case in cases.values():
        if case.label is not None:
            by_name[stem(case.label).name] = case.id
    for case_id in cases:
        by_name[case_id] = case_id
    named = []
    for file in files:
        name = stem(file).name
        named.append((by_name.get(name, name), file))
    return named
