"""Read every byte of a root and list the faults; a volume is never in memory as a whole."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datasets.base import (
    IGNORED_CLASS,
    Case,
    DataError,
    Dataset,
    DatasetInfo,
    Discovery,
    Problem,
    Release,
)
from datasets.volumes.geometry import Geometry, align_images, is_spacing_known
from datasets.volumes.labels import geometry_of
from datasets.volumes.plausibility.headers import check_header, check_spacing
from datasets.volumes.plausibility.intensities import Content
from datasets.volumes.plausibility.pairs import Overlap, find_copies
from datasets.volumes.pool import OnCase, ignore_progress, run_jobs
from datasets.volumes.reading import open_image, open_label
from datasets.volumes.values import UnknownValues, classify


@dataclass(frozen=True)
class Findings:
    """The content of a root, and everything that is wrong with it."""

    info: DatasetInfo
    root: Path
    discovery: Discovery
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]  # what was taken for granted; nothing is wrong with it
    n_bytes: int
    synthetic: bool

    @property
    def passed(self) -> bool:
        return all(problem.is_warning for problem in self.problems)


def check_dataset(dataset: Dataset, jobs: int = 0, on_case: OnCase = ignore_progress) -> Findings:
    """Read all files in ``jobs`` processes (0: one a core); may raise as `Dataset.discover`."""
    found = dataset.discovery
    problems = list(found.problems)
    if found.cases and len(found.unlabelled) == len(found.cases):
        text = f"{dataset.info.name}: {dataset.root} has no labelled case"
        problems.append(Problem("", f"{text} (good for prediction alone)", is_warning=True))
    check = partial(check_case, info=dataset.info, release=found.release)
    cases = (*found.cases, *found.incomplete)
    workers = min(jobs or os.cpu_count() or 1, max(len(cases), 1))
    of_case: dict[str, list[Problem]] = {}
    for case, found_in_case in run_jobs(check, cases, workers):
        of_case[case.id] = found_in_case
        on_case(len(of_case), len(cases))
    n_bytes = 0
    for case in cases:
        problems += of_case[case.id]
        n_bytes += sum(path.stat().st_size for path in case.files)
    notes = tuple(each for each in problems if each.is_note)
    wrong = tuple(each for each in problems if not each.is_note)
    return Findings(dataset.info, dataset.root, found, wrong, notes, n_bytes, dataset.synthetic)


class _Report:
    """The problems of one case, in the order in which its files are read."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.problems: list[Problem] = []

    def attempt(self, step: Callable[[], list[str]]) -> None:
        """Add the warnings that a step returns, and the error that it raises."""
        try:
            for warning in step():
                self.problems.append(Problem(self.case.id, warning, is_warning=True))
        except DataError as error:
            self.problems.append(Problem(self.case.id, str(error)))

    def note(self, sentences: list[str]) -> None:
        for sentence in sentences:
            problem = Problem(self.case.id, sentence, is_warning=True, is_note=True)
            self.problems.append(problem)


def check_case(case: Case, info: DatasetInfo, release: Release | None = None) -> list[Problem]:
    """Return what is wrong with a case or not as the release promises, and notes."""
    report = _Report(case)
    grids: dict[Path, Geometry] = {}
    contents: dict[Path, Content] = {}
    for path in dict.fromkeys(case.images.values()):
        report.attempt(partial(_check_image, case, path, info, contents))
        report.attempt(partial(_check_spacing, case, path, release))
        with suppress(DataError):  # which is among the problems
            grids[path] = geometry_of(open_image(case, path))
        if path in contents:
            report.note(contents[path].list_notes())
    first = next(iter(grids.values()), None)
    if first is not None:
        report.attempt(lambda: align_images(case, grids)[1])
        report.attempt(partial(_check_grid, case, first, release))
        report.attempt(lambda: find_copies(list(contents.values())))
    if case.label is not None:
        content = contents.get(next(iter(grids), Path()))
        report.attempt(partial(_check_label, case, info, first, content))
    return report.problems


def _check_image(
    case: Case, path: Path, info: DatasetInfo, contents: dict[Path, Content]
) -> list[str]:
    """Return warnings of an image; what is kept of its voxels is put into ``contents``."""
    volume = open_image(case, path)
    geometry_of(volume)
    content = Content(volume, info)
    for _, block in volume.iter_blocks():
        content.add(block)
    content.found.check(path, case.id)
    contents[path] = content
    warnings = [*content.check(), *check_header(volume)]
    if not volume.placement.orientation_stated:
        where = f"{path}: file of case {case.id}"
        warnings.append(f"{where} does not state its orientation (left-right may be wrong)")
    return warnings


def _check_spacing(case: Case, path: Path, release: Release | None) -> list[str]:
    if not case.spacing_known:
        return []
    with suppress(DataError):  # which reading the voxels has raised
        volume = open_image(case, path)
        return check_spacing(volume, geometry_of(volume), release)
    return []


def _check_grid(case: Case, grid: Geometry, release: Release | None) -> list[str]:
    where = f"{next(iter(case.images.values()))}: file of case {case.id}"
    warnings = []
    if release and release.orientation and grid.codes != release.orientation:
        text = f"is stored {grid.codes}, {release.title} is {release.orientation}"
        warnings.append(f"{where} {text} (an old or a converted copy)")
    if not grid.spacing_stated:
        text = "states a voxel size of 0, so that its spacing is unknown"
        warnings.append(f"{where} {text} (left out of what is measured in mm)")
    elif not is_spacing_known(case, grid):
        text = "does not tell its spacing, 1 mm is not true"
        warnings.append(f"{where} {text} (left out of what is measured in mm)")
    return warnings


def _check_label(
    case: Case, info: DatasetInfo, image: Geometry | None, content: Content | None
) -> list[str]:
    volume, grid, warning = open_label(case, image)
    unknown = UnknownValues()
    overlap = None
    is_released = info.release != "" and not case.stack
    if image and content and is_released and _is_stored_alike(grid, image):
        overlap = Overlap(content)
    n_foreground = 0
    for where, block in volume.iter_blocks():
        classes = classify(block, info)
        unknown.add(block, classes)
        is_label = (classes > 0) & (classes < IGNORED_CLASS)  # no unknown one
        n_foreground += int(np.count_nonzero(is_label))
        if overlap:
            overlap.add(where, is_label)
    unknown.check(volume.path, case.id, info)
    label = f"{volume.path}: label of case {case.id}"
    warnings = [warning] if warning else []
    if n_foreground == 0:
        warnings.append(f"{label} is all background (nothing to learn from)")
    if overlap:
        warnings += overlap.check(label)
    return warnings + check_header(volume)


def _is_stored_alike(label: Geometry, image: Geometry) -> bool:
    """Return whether voxels of both files come in one order."""
    return label.shape == image.shape and np.array_equal(label.orientation, image.orientation)
