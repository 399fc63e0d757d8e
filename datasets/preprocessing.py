"""Prepare cases once: normalised, canonical, memory-mapped, so that training reads patches only.

Each case becomes a folder ``<cache>/<data set>/<case>-<key>/`` with

* ``image.npy``       float16 (C, D, H, W), normalised
* ``label.npy``       uint8 (D, H, W), training classes; absent where the case has no label
* ``foreground.npy``  int32 (n, 3), voxels (d, h, w) of class 1, then of class 2, ...; at most 10 000 a class
* ``case.json``       identity, spacing, what is needed to write a prediction onto the original grid

The key covers the files' names, sizes and times, so that a changed file is prepared again. A folder appears under its
final name only when it is complete; what is there already is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from datasets.base import BadCasesError, Case, DataError, Dataset, Problem
from datasets.geometry import Geometry
from datasets.reading import read_image, read_label

PREPARATION_VERSION = 2
MAX_FOREGROUND = 10_000  # voxels a class that are kept to centre patches on
IMAGE, LABEL, FOREGROUND, RECORD = "image.npy", "label.npy", "foreground.npy", "case.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCase:
    """One prepared case; holds no array, so it is cheap to send to a worker."""

    id: str
    folder: Path
    spacing_mm: tuple[float, float, float]  # (D, H, W) order
    shape: tuple[int, int, int]  # (D, H, W)
    n_foreground: tuple[int, ...]  # sampled voxels of class 1, 2, ...; empty without a label
    spacing_known: bool = True  # False: the file says 1 mm, which is not so; lengths in mm mean nothing

    def image(self) -> np.memmap[Any, np.dtype[np.float16]]:
        """Return the normalised channels, float16 (C, D, H, W), read from disk as they are touched."""
        return _open_array(self.folder / IMAGE)

    def label(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """Return the training classes, uint8 (D, H, W), read from disk as they are touched.

        Raises: DataError if the case has no label.
        """
        if not self.n_foreground:
            raise DataError(f"case {self.id} has no label")
        return _open_array(self.folder / LABEL)

    def foreground(self) -> list[np.ndarray]:
        """Return sampled voxels (d, h, w) of class 1, 2, ..., each int32 (n, 3); n is 0 where the class is absent."""
        voxels = _open_array(self.folder / FOREGROUND)
        return np.split(voxels, np.cumsum(self.n_foreground)[:-1])


def prepare(
    dataset: Dataset,
    cases: Sequence[Case],
    cache: Path,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[PreparedCase]:
    """Return the cases in their prepared form, in the given order; those that are new or changed are prepared first.

    ``on_case`` hears how many are done. May run in several processes at once on one cache.

    Raises: BadCasesError that names all cases whose files are unusable, after the others have been prepared.
    """
    home = cache / dataset.info.name
    home.mkdir(parents=True, exist_ok=True)
    prepared: list[PreparedCase] = []
    problems: list[Problem] = []
    for number, case in enumerate(cases, start=1):
        try:
            prepared.append(_prepare_case(dataset, case, home))
        except DataError as error:
            problems.append(Problem(case.id, str(error)))
        on_case(number, len(cases))
    if problems:
        raise BadCasesError(f"{dataset.info.name}: {dataset.root}", problems)
    return prepared


def fingerprint(cases: Sequence[Case], root: Path) -> str:
    """Return a short hash of ids, file names and sizes; equal for copies of the data, voxels are not read."""
    listing = [[case.id, *_describe_files(case, root)] for case in cases]
    return _hash(listing)[:12]


def _prepare_case(dataset: Dataset, case: Case, home: Path) -> PreparedCase:
    folder = home / f"{case.id}-{_case_key(dataset, case)}"
    if not folder.is_dir():
        log.info("preparing %s %s", dataset.info.name, case.id)
        part = home / f".{case.id}-{uuid4().hex}"
        part.mkdir()
        try:
            _write_case(dataset, case, part)
            _publish(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)  # gone already if it was published
    record = json.loads((folder / RECORD).read_text())
    return PreparedCase(
        id=case.id,
        folder=folder,
        spacing_mm=tuple(record["spacing_mm"]),
        shape=tuple(record["shape"]),
        n_foreground=tuple(record["n_foreground"]),
        spacing_known=record["spacing_known"],
    )


def _write_case(dataset: Dataset, case: Case, folder: Path) -> None:
    raw, geometry = read_image(case)
    image = dataset.normalise(raw).astype(np.float16)
    del raw
    np.save(folder / IMAGE, image)
    n_foreground: list[int] = []
    if case.label is not None:
        label = read_label(case, dataset.info, geometry)
        voxels = [_sample_foreground(label, index) for index in range(1, len(dataset.info.classes))]
        n_foreground = [len(each) for each in voxels]
        np.save(folder / LABEL, label)
        np.save(folder / FOREGROUND, np.concatenate(voxels))
    record = _build_record(dataset, case, geometry, image.shape[1:], n_foreground)
    (folder / RECORD).write_text(json.dumps(record, indent=1))


def _build_record(
    dataset: Dataset, case: Case, geometry: Geometry, shape: tuple[int, ...], n_foreground: list[int]
) -> dict[str, Any]:
    return {
        "dataset": dataset.info.name,
        "version": PREPARATION_VERSION,
        "id": case.id,
        "patient": case.patient,
        "shape": list(shape),
        "spacing_mm": list(geometry.spacing_mm),
        "n_foreground": n_foreground,
        "spacing_known": case.spacing_known or geometry.spacing_mm != (1.0, 1.0, 1.0),
        "stored_shape": list(geometry.shape),
        "stored_affine": geometry.affine.tolist(),
        "stored_orientation": geometry.orientation.tolist(),
    }


def _sample_foreground(label: np.ndarray, index: int) -> np.ndarray:
    """Return at most `MAX_FOREGROUND` voxels of a class, spread evenly over all of them; int32 (n, 3)."""
    flat = np.flatnonzero(label == index)
    if len(flat) > MAX_FOREGROUND:
        flat = flat[np.linspace(0, len(flat) - 1, MAX_FOREGROUND).astype(np.int64)]
    return np.stack(np.unravel_index(flat, label.shape), axis=1).astype(np.int32)


def _publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster, with the same bytes
            raise


def _case_key(dataset: Dataset, case: Case) -> str:
    files = [*dict.fromkeys(case.images.values()), *([case.label] if case.label else [])]
    times = [path.stat().st_mtime_ns for path in files]
    return _hash(
        [dataset.info.name, dataset.info.release, PREPARATION_VERSION, _describe_files(case, dataset.root), times]
    )[:12]


def _describe_files(case: Case, root: Path) -> list[list[str | int]]:
    files = {**case.images, **({"label": case.label} if case.label else {})}
    return [[role, Path(os.path.relpath(path, root)).as_posix(), path.stat().st_size] for role, path in files.items()]


def _hash(content: object) -> str:
    return hashlib.sha1(json.dumps(content).encode(), usedforsecurity=False).hexdigest()


def _open_array(path: Path) -> np.memmap[Any, Any]:
    array = np.load(path, mmap_mode="r")
    assert isinstance(array, np.memmap)
    return array
