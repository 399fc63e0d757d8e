"""Read every byte of a root and list the faults; a volume is never in memory as a whole."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, Problem
from datasets.volumes.geometry import Geometry, align_images, is_spacing_known
from datasets.volumes.labels import geometry_of
from datasets.volumes.pool import OnCase, ignore_progress, run_jobs
from datasets.volumes.reading import open_image, open_label
from datasets.volumes.values import UNKNOWN_CLASS, UnknownValues, ValueRange, classify

LOWEST_HU, HIGHEST_HU = -4096.0, 32767.0  # padding of -2000 and metal are between them


@dataclass(frozen=True)
class Findings:
    """The content of a root, and everything that is wrong with it."""

    info: DatasetInfo
    root: Path
    discovery: Discovery
    problems: tuple[Problem, ...]
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
    orientation = found.release.orientation if found.release else ""
    check = partial(check_case, info=dataset.info, orientation=orientation)
    workers = min(jobs or os.cpu_count() or 1, max(len(found.cases), 1))
    of_case: dict[str, list[Problem]] = {}
    for case, wrong in run_jobs(check, found.cases, workers):
        of_case[case.id] = wrong
        on_case(len(of_case), len(found.cases))
    n_bytes = 0
    for case in found.cases:
        problems += of_case[case.id]
        n_bytes += sum(path.stat().st_size for path in case.files)
    return Findings(dataset.info, dataset.root, found, tuple(problems), n_bytes, dataset.synthetic)


def check_case(case: Case, info: DatasetInfo, orientation: str = "") -> list[Problem]:
    """Return what is wrong with a case; ``orientation`` as in `Release`."""
    problems: list[Problem] = []

    def attempt(step: Callable[[], list[str]]) -> None:
        try:
            for warning in step():
                problems.append(Problem(case.id, warning, is_warning=True))
        except DataError as error:
            problems.append(Problem(case.id, str(error)))

    grids: dict[Path, Geometry] = {}
    for path in dict.fromkeys(case.images.values()):
        attempt(partial(_check_image, case, path, info))
        with suppress(DataError):  # which is among the problems
            grids[path] = geometry_of(open_image(case, path))
    first = next(iter(grids.values()), None)
    if first is not None:
        attempt(lambda: align_images(case, grids)[1])
        attempt(partial(_check_header, case, info, first, orientation))
    if case.label is not None:
        attempt(partial(_check_label, case, info, first))
    return problems


def _check_image(case: Case, path: Path, info: DatasetInfo) -> list[str]:
    volume = open_image(case, path)
    geometry_of(volume)
    found = ValueRange()
    for _, block in volume.iter_blocks():
        found.add(block)
    found.check(path, case.id)
    where = f"{path}: file of case {case.id}"
    warnings = []
    if found.low == found.high:
        warnings.append(f"{where} is {found.low:g} everywhere (it will carry nothing)")
    elif info.modality == "CT" and (found.low < LOWEST_HU or found.high > HIGHEST_HU):
        text = f"{found.low:g} to {found.high:g}, which are no Hounsfield units"
        warnings.append(f"{where} holds {text} (they will be clipped)")
    if not volume.placement.orientation_stated:
        warnings.append(f"{where} does not state its orientation (left-right may be wrong)")
    return warnings


def _check_header(case: Case, info: DatasetInfo, grid: Geometry, orientation: str) -> list[str]:
    where = f"{next(iter(case.images.values()))}: file of case {case.id}"
    warnings = []
    if orientation and grid.codes != orientation:
        text = f"is stored {grid.codes}, {info.title} is {orientation}"
        warnings.append(f"{where} {text} (an old or a converted copy)")
    if not grid.spacing_stated:
        text = "states a voxel size of 0, so that its spacing is unknown"
        warnings.append(f"{where} {text} (left out of what is measured in mm)")
    elif not is_spacing_known(case, grid):
        text = "does not tell its spacing, 1 mm is not true"
        warnings.append(f"{where} {text} (left out of what is measured in mm)")
    return warnings


def _check_label(case: Case, info: DatasetInfo, image: Geometry | None) -> list[str]:
    volume, _, warning = open_label(case, image)
    unknown = UnknownValues()
    n_foreground = 0
    for _, block in volume.iter_blocks():
        classes = classify(block, info)
        unknown.add(block, classes)
        n_foreground += int(np.count_nonzero((classes > 0) & (classes != UNKNOWN_CLASS)))
    unknown.check(volume.path, case.id, info)
    warnings = [warning] if warning else []
    if n_foreground == 0:
        text = f"label of case {case.id} is all background"
        warnings.append(f"{volume.path}: {text} (nothing to learn from)")
    return warnings
