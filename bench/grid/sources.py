"""Which cases of a root take part in an experiment, and which cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import datasets
from bench.grid.cells import DataSource
from bench.run.cases import preparation_of
from bench.specs.protocol import DataSpec, SpecError
from datasets.base import BadCasesError, Dataset, Problem
from datasets.splits.file import find_split_file


def look_up(
    name: str,
    root: Path,
    cache: Path,
    data: DataSpec,
    on_case: Callable[[int, int], None],
    *,
    skip: bool,
) -> DataSource:
    """Return what an experiment needs to know of a root.

    The files' names are looked at; the volumes are read (and prepared) where bad cases are to be
    skipped, or where a name is wrong already, so that the error lists everything.

    Raises: DataError if the root does not hold the data set; BadCasesError unless ``skip``.
    """
    from datasets.prepared.prepare import fingerprint

    dataset = datasets.build(name, root)
    problems = list(dataset.discovery.errors)
    if skip or problems:
        problems += _find_unreadable(
            dataset, {each.case for each in problems}, cache, data, on_case
        )
    if problems and not skip:
        raise BadCasesError(f"{name}: {root}", problems)
    reasons: dict[str, str] = {}
    for problem in problems:
        reasons.setdefault(problem.case, problem.message)
    check_window(dataset, data)
    splits = find_split_file(data.splits, dataset.root)
    return DataSource(
        name,
        root,
        fingerprint(dataset.find_cases(reasons), dataset.root, dataset.meaning),
        tuple(sorted(reasons.items())),
        splits.sha256 if splits else "",
    )


def check_window(dataset: Dataset, data: DataSpec) -> None:
    """Raise SpecError if CT shall be scaled by constants that nobody knows."""
    if (
        dataset.info.modality == "CT"
        and dataset.info.window is None
        and data.ct_norm == "constants"
    ):
        raise SpecError(
            f"data.ct_norm: no constants are known for '{dataset.info.name}', got constants "
            '(--set data.ct_norm=fingerprint fits them to the training part; or give "window" in its file)'
        )


def check_exclude(preset: str, roots: Mapping[str, Path]) -> None:
    """Raise SpecError if none of the data sets has the preset of cases to leave out."""
    known: dict[str, set[str]] = {}
    for name, root in roots.items():
        release = datasets.build(name, root).discovery.release
        if release is not None:
            known[release.title] = set(release.exclude)
    if preset and not any(preset in presets for presets in known.values()):
        listed = "; ".join(
            f"{title}: {', '.join(sorted(presets)) or 'none'}" for title, presets in known.items()
        )
        raise SpecError(f"data.exclude: must be a preset of the data, got '{preset}' ({listed})")


def _find_unreadable(
    dataset: Dataset,
    known: set[str],
    cache: Path,
    data: DataSpec,
    on_case: Callable[[int, int], None],
) -> list[Problem]:
    from datasets.prepared.prepare import prepare

    try:
        prepare(
            dataset, dataset.find_labelled(left_out=known), cache, on_case, preparation_of(data)
        )
    except BadCasesError as error:
        return list(error.problems)
    return []
