"""Read every byte of a root and say what is wrong, in bounded memory: no volume is ever held as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from datasets.base import Case, DataError, Dataset, DatasetInfo, Discovery, Problem
from datasets.volumes.geometry import Geometry, align_images
from datasets.volumes.reading import geometry_of, open_image, open_label
from datasets.volumes.values import UNKNOWN_CLASS, Range, UnknownValues, classify

HU_RANGE = (
    -4096.0,
    32767.0,
)  # beyond it a CT holds no Hounsfield units; padding of -2000 and metal lie within


@dataclass(frozen=True)
class Findings:
    """What a root holds, and everything that is wrong with it."""

    info: DatasetInfo
    root: Path
    discovery: Discovery
    problems: tuple[Problem, ...]
    n_bytes: int
    synthetic: bool

    @property
    def passed(self) -> bool:
        """Whether every case can be used."""
        return all(problem.is_warning for problem in self.problems)


def check_dataset(
    dataset: Dataset, jobs: int = 0, on_case: Callable[[int, int], None] = lambda done, total: None
) -> Findings:
    """Read all files of all cases; ``on_case`` hears how many are done.

    ``jobs`` is the number of processes; 0: one a core, 1: none beside this one.

    Raises: DataError if the root is no folder, holds no case, or mixes releases.
    """
    found = dataset.discovery
    problems = list(found.problems)
    if found.cases and not any(case.label for case in found.cases):
        text = (
            f"{dataset.info.name}: {dataset.root} has no labelled case (good for prediction alone)"
        )
        problems.append(Problem("", text, is_warning=True))
    orientation = found.release.orientation if found.release else ""
    check = partial(check_case, info=dataset.info, orientation=orientation)
    for done, of_case in enumerate(_map(check, found.cases, jobs or os.cpu_count() or 1), start=1):
        problems += of_case
        on_case(done, len(found.cases))
    n_bytes = sum(path.stat().st_size for case in found.cases for path in case.files)
    return Findings(dataset.info, dataset.root, found, tuple(problems), n_bytes, dataset.synthetic)


def _map(
    check: Callable[[Case], list[Problem]], cases: Sequence[Case], jobs: int
) -> Iterator[list[Problem]]:
    if jobs == 1:
        yield from map(check, cases)
        return
    # spawned, not forked: the caller may have threads, and a fork would copy their locks
    with ProcessPoolExecutor(
        min(jobs, max(len(cases), 1)), mp_context=get_context("spawn")
    ) as pool:
        yield from pool.map(check, cases)


def check_case(case: Case, info: DatasetInfo, orientation: str = "") -> list[Problem]:
    """Return what is wrong with the files of a case; voxels are read once, in blocks.

    ``orientation`` are the axis codes that the release has, empty if it has several.
    """
    problems: list[Problem] = []

    def attempt(step: Callable[[], list[str]]) -> None:
        try:
            problems.extend(Problem(case.id, warning, is_warning=True) for warning in step())
        except DataError as error:
            problems.append(Problem(case.id, str(error)))

    paths = list(dict.fromkeys(case.images.values()))
    for path in paths:
        attempt(partial(_check_image, case, path, info))
    grids = _read_grids(case, paths)
    first = next(iter(grids.values()), None)
    if first is not None:
        attempt(lambda: align_images(case, grids)[1])
        attempt(partial(_check_header, case, info, first, orientation))
    if case.label is not None:
        attempt(partial(_check_label, case, info, first))
    return problems


def _read_grids(case: Case, paths: Sequence[Path]) -> dict[Path, Geometry]:
    """Return the geometry of each image that has one; what is wrong with the others is known already."""
    grids = {}
    for path in paths:
        with suppress(DataError):
            grids[path] = geometry_of(open_image(case, path))
    return grids


def _check_image(case: Case, path: Path, info: DatasetInfo) -> list[str]:
    volume = open_image(case, path)
    geometry_of(volume)
    where = f"{path}: file of case {case.id}"
    found = Range()
    for block in volume.blocks():
        found.see(block)
    found.check(path, case.id)
    warnings = []
    if found.low == found.high:
        warnings.append(f"{where} is {found.low:g} everywhere (it will carry nothing)")
    elif info.modality == "CT" and not (HU_RANGE[0] <= found.low and found.high <= HU_RANGE[1]):
        text = f"holds {found.low:g} to {found.high:g}, which are no Hounsfield units (they will be clipped)"
        warnings.append(f"{where} {text}")
    if not volume.has_orientation:
        warnings.append(f"{where} does not state its orientation (left-right may be wrong)")
    return warnings


def _check_header(case: Case, info: DatasetInfo, grid: Geometry, orientation: str) -> list[str]:
    warnings = []
    where = f"{next(iter(case.images.values()))}: file of case {case.id}"
    if orientation and grid.codes != orientation:
        warnings.append(
            f"{where} is stored {grid.codes}, {info.title} is {orientation} (an old or a converted copy)"
        )
    if not case.spacing_known and grid.spacing_mm == (1.0, 1.0, 1.0):
        warnings.append(
            f"{where} does not tell its spacing, 1 mm is not true (left out of what is measured in mm)"
        )
    return warnings


def _check_label(case: Case, info: DatasetInfo, image: Geometry | None) -> list[str]:
    volume, _, warning = open_label(case, image)
    unknown = UnknownValues()
    n_foreground = 0
    for block in volume.blocks():
        classes = classify(block, info)
        unknown.see(block, classes)
        n_foreground += int(np.count_nonzero((classes > 0) & (classes != UNKNOWN_CLASS)))
    unknown.check(volume.path, case.id, info)
    empty = f"{volume.path}: label of case {case.id} is all background (nothing to learn from)"
    return [text for text in (warning, "" if n_foreground else empty) if text]
