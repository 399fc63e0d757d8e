"""Which cases of a root take part in an experiment, and which cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import datasets
from bench.grid import DataSource
from bench.spec import RunSpec, SpecError
from datasets.base import BadCasesError, Case, Dataset, Problem


def look_up(name: str, root: Path, cache: Path, on_case: Callable[[int, int], None], *, skip: bool) -> DataSource:
    """Return what an experiment needs to know of a root.

    The files' names are looked at; the volumes are read (and prepared) where bad cases are to be skipped, or where a
    name is wrong already, so that the error lists everything.

    Raises: DataError if the root does not hold the data set; BadCasesError unless ``skip``.
    """
    from datasets.preprocessing import fingerprint

    dataset = datasets.build(name, root)
    problems = list(dataset.discovery.errors)
    if skip or problems:
        problems += _find_unreadable(dataset, {each.case for each in problems}, cache, on_case)
    if problems and not skip:
        raise BadCasesError(f"{name}: {root}", problems)
    reasons: dict[str, str] = {}
    for problem in problems:
        reasons.setdefault(problem.case, problem.message)
    return DataSource(name, root, fingerprint(dataset.find_cases(reasons), root), tuple(sorted(reasons.items())))


def find_used(dataset: Dataset, spec: RunSpec) -> list[Case]:
    """Return the labelled cases that the run's folds are made of.

    Raises: DataError if the root has changed since the run was laid out.
    """
    return dataset.find_labelled(spec.protocol.data.exclude, {case for case, _ in spec.left_out})


def check_exclude(preset: str, roots: Mapping[str, Path]) -> None:
    """Raise SpecError if none of the data sets has the preset of cases to leave out."""
    known: dict[str, set[str]] = {}
    for name, root in roots.items():
        release = datasets.build(name, root).discovery.release
        if release is not None:
            known[release.title] = set(release.exclude)
    if preset and not any(preset in presets for presets in known.values()):
        listed = "; ".join(f"{title}: {', '.join(sorted(presets)) or 'none'}" for title, presets in known.items())
        raise SpecError(f"data.exclude: must be a preset of the data, got '{preset}' ({listed})")


def _find_unreadable(
    dataset: Dataset, known: set[str], cache: Path, on_case: Callable[[int, int], None]
) -> list[Problem]:
    from datasets.preprocessing import prepare

    try:
        prepare(dataset, dataset.find_labelled(left_out=known), cache, on_case)
    except BadCasesError as error:
        return list(error.problems)
    return []
