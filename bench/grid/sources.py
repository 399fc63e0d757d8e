"""Which cases of a root take part in an experiment, and which cannot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
from bench.run.cases import preparation_of
from bench.specs.protocol import DataSpec, SpecError
from datasets.base import BadCasesError, Case, DataError, Dataset
from datasets.splits.file import find_split_file

OnCase = Callable[[int, int], None]  # takes cases done, cases in all


@dataclass(frozen=True)
class DataSource:
    """A data set that was opened, and what an experiment uses of it; runs open it again."""

    name: str  # of the release that was found, or of the datalist
    root: Path  # as asked for: a folder or a datalist
    dataset: Dataset
    cases: tuple[Case, ...]  # labelled ones that can be used
    fingerprint: str
    left_out: tuple[tuple[str, str], ...] = ()  # case that cannot be used, and reason
    splits_sha256: str = ""  # of the file of folds, if there is one


def inspect_source(
    name: str, root: Path, cache: Path, data: DataSpec, on_case: OnCase, *, skip: bool
) -> DataSource:
    """Open a root and find out what can be used of it.

    The names of the files are checked. The volumes are read (and prepared) only where bad cases are
    to be skipped, or where a name is wrong already, so that the error lists everything.
    Raises: DataError if the root does not hold the data set or the release that ``name`` asks for;
    BadCasesError unless ``skip``.
    """
    from datasets.prepared.keys import fingerprint
    from datasets.prepared.prepare import prepare

    dataset = datasets.build(name, root)
    problems = list(dataset.discovery.errors)
    if skip or problems:
        readable = dataset.find_labelled(left_out={each.case for each in problems})
        try:
            prepare(dataset, readable, cache, on_case, preparation_of(data))
        except BadCasesError as error:
            problems += error.problems
    if problems and not skip:
        raise BadCasesError(f"{dataset.info.name}: {root}", problems)
    reasons: dict[str, str] = {}
    for problem in problems:
        reasons.setdefault(problem.case, problem.message)
    _check_window(dataset, data)
    splits = find_split_file(data.splits, dataset.root)
    cases = tuple(dataset.find_labelled(data.exclude, reasons))
    content = fingerprint(dataset.find_cases(reasons), dataset.root, dataset.meaning)
    left_out = tuple(sorted(reasons.items()))
    sha256 = splits.sha256 if splits else ""
    return DataSource(dataset.info.name, root, dataset, cases, content, left_out, sha256)


def check_distinct(sources: Sequence[DataSource]) -> None:
    """Raise DataError if two roots hold one release."""
    first: dict[str, DataSource] = {}
    for source in sources:
        other = first.setdefault(source.name, source)
        if other is not source:
            rule = f"each release must have one root, got {other.root} and {source.root}"
            raise DataError(f"--data-root: {rule} with {source.dataset.info.title} in both")


def check_exclude(preset: str, opened: Sequence[Dataset]) -> None:
    """Raise SpecError if no data set knows the preset of cases to leave out."""
    known: dict[str, str] = {}
    for dataset in opened:
        release = dataset.discovery.release
        if release is not None and preset in release.exclude:
            return
        if release is not None:
            known[release.title] = ", ".join(sorted(release.exclude)) or "none"
    if preset:
        listed = "; ".join(f"{title}: {presets}" for title, presets in known.items())
        raise SpecError(f"data.exclude: must be a preset of the data, got '{preset}' ({listed})")


def _check_window(dataset: Dataset, data: DataSpec) -> None:
    """Raise SpecError if CT shall be scaled by constants that nobody knows."""
    info = dataset.info
    if info.modality == "CT" and info.window is None and data.ct_norm == "constants":
        rule = f"no constants are known for '{info.name}', got constants"
        hint = "--set data.ct_norm=fingerprint fits them to the training part"
        raise SpecError(f'data.ct_norm: {rule} ({hint}; or give "window" in its file)')
