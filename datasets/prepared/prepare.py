"""Prepare cases once: canonical, cropped to the body, memory-mapped, so that training reads patches only.

Each case becomes a folder ``<cache>/<data set>/<case>-<key>/``; `datasets.prepared.case` says what
is in it. The key covers the files' names, sizes and times and the settings, so that a changed file
is prepared again. Nothing in the folder depends on a fold. It appears under its final name only
when it is complete and on disk; what is there already is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from datasets.base import BadCasesError, Case, DataError, Dataset, DatasetInfo, Problem, SpacingMm
from datasets.prepared.capacity import check_room, choose_workers, estimate
from datasets.prepared.case import FOREGROUND, IMAGE, LABEL, RECORD, REFERENCE, SAMPLE, PreparedCase
from datasets.prepared.files import write_durably
from datasets.prepared.frame import (
    SLICES_AT_ONCE,
    Frame,
    place_frame,
    resample_classes,
    resample_image,
)
from datasets.prepared.intensity import find_body, scale_mri, to_int16
from datasets.volumes.geometry import Geometry
from datasets.volumes.pool import run_jobs
from datasets.volumes.reading import read_image, read_label

PREPARATION_VERSION = 3
MAX_FOREGROUND = 10_000  # voxels a class that are kept to centre patches on, and of all classes to fit a window to
LOCKS = ".locks"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """The settings that prepared arrays depend on."""

    spacing_mm: SpacingMm | None = None  # (D, H, W); None keeps each case's own
    crop: bool = True  # to the body or the brain


@dataclass(frozen=True)
class _Job:
    """All that a worker needs for one case; ``folder`` is where it shall be."""

    info: DatasetInfo
    case: Case
    settings: Preparation
    folder: Path


def prepare(
    dataset: Dataset,
    cases: Sequence[Case],
    cache: Path,
    on_case: Callable[[int, int], None] = lambda done, total: None,
    settings: Preparation = Preparation(),
    jobs: int | None = None,
) -> list[PreparedCase]:
    """Return the cases in their prepared form, in the given order; those that are new or changed are prepared first.

    ``on_case`` hears how many are done. Several cases are prepared at once, at most ``jobs``, as
    far as cores and memory go. May run in several processes at once on one cache.

    Raises: DataError if the disk has too little room, before anything is written; BadCasesError
    that names all cases
        whose files are unusable, after the others have been prepared.
    """
    home = cache / dataset.info.name
    home.mkdir(parents=True, exist_ok=True)
    all_jobs = [
        _Job(dataset.info, case, settings, home / f"{case.id}-{_case_key(dataset, case, settings)}")
        for case in cases
    ]
    to_do = [job for job in all_jobs if not job.folder.is_dir()]
    needs = [estimate(job.case, settings.spacing_mm) for job in to_do]
    check_room(dataset.info.name, needs, home)
    problems: dict[str, Problem] = {}
    done = len(cases) - len(to_do)
    for job, reason in run_jobs(_try_job, to_do, choose_workers(needs, jobs)):
        if reason:
            problems[job.case.id] = Problem(job.case.id, reason)
        done += 1
        on_case(done, len(cases))
    if problems:
        in_order = [problems[case.id] for case in cases if case.id in problems]
        raise BadCasesError(f"{dataset.info.name}: {dataset.root}", in_order)
    return [load_prepared(job.folder, dataset.info) for job in all_jobs]


def prepare_case(
    info: DatasetInfo, case: Case, settings: Preparation, folder: Path
) -> PreparedCase:
    """Prepare one case into a folder of that name, unless it is there, and return it.

    Raises: DataError if a file cannot be used.
    """
    locks = folder.parent / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{folder.name}.lock"):  # the system frees it when its holder dies
        if not folder.is_dir():
            log.info("preparing %s %s", info.name, case.id)
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            part.mkdir()
            try:
                _write_case(info, case, settings, part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)  # gone already if it was published
            _remove_outdated(folder)
    return load_prepared(folder, info)


def load_prepared(folder: Path, info: DatasetInfo) -> PreparedCase:
    """Return the prepared case in a folder."""
    record = json.loads((folder / RECORD).read_text())
    return PreparedCase(
        id=record["id"],
        folder=folder,
        spacing_mm=tuple(record["stored_spacing_mm"]),
        shape=tuple(record["shape"]),
        n_foreground=tuple(record["n_foreground"]),
        spacing_known=record["spacing_known"],
        window=info.window,
    )


def fingerprint(cases: Sequence[Case], root: Path, meaning: str = "") -> str:
    """Return a short hash of ids, file names and sizes; equal for copies of the data, voxels are not read."""
    listing = [[case.id, *_describe_files(case, root)] for case in cases]
    if meaning:
        listing.append([meaning])
    return _hash(listing)[:12]


def _try_job(job: _Job) -> str:
    try:
        prepare_case(job.info, job.case, job.settings, job.folder)
    except DataError as error:
        return str(error)
    return ""


def _write_case(info: DatasetInfo, case: Case, settings: Preparation, folder: Path) -> None:
    is_ct = info.modality == "CT"
    image, geometry = read_image(case)
    spacing_known = case.spacing_known or geometry.spacing_mm != (1.0, 1.0, 1.0)
    if settings.spacing_mm and not spacing_known:
        raise DataError(
            f"{info.name}: case {case.id} cannot be resampled, its header does not tell the spacing "
            "(leave data.spacing_mm alone, or the case out with data.exclude)"
        )
    body = find_body(image, is_ct=is_ct) if settings.crop else None
    frame = place_frame(geometry, body, settings.spacing_mm)
    del body
    if not is_ct:
        scale_mri(image)
    _write_image(folder / IMAGE, frame, image, is_ct=is_ct)
    del image
    n_foreground: list[int] = []
    if case.label is not None:
        n_foreground = _write_label(info, case, geometry, frame, folder)
    if is_ct and case.label is not None:
        _write_sample(folder)
    record = {
        "dataset": info.name,
        "version": PREPARATION_VERSION,
        "id": case.id,
        "patient": case.patient,
        "source": str(next(iter(case.images.values())).absolute()),
        "settings": asdict(settings),
        "spacing_known": spacing_known,
        "n_foreground": n_foreground,
        **frame.to_record(),
    }
    write_durably(folder / RECORD, [json.dumps(record, indent=1).encode()])


def _write_image(path: Path, frame: Frame, image: np.ndarray, *, is_ct: bool) -> None:
    """Write the box of each channel on the prepared grid, some slices at a time."""
    dtype = np.dtype(np.int16 if is_ct else np.float16)

    def blocks() -> Iterator[bytes]:
        for channel in image:
            volume = resample_image(frame.cut(channel), frame.shape)
            for first in range(0, frame.shape[0], SLICES_AT_ONCE):
                slab = volume[first : first + SLICES_AT_ONCE]
                yield np.ascontiguousarray(
                    to_int16(slab) if is_ct else slab.astype(dtype)
                ).tobytes()

    _write_array(path, (len(image), *frame.shape), dtype, blocks())


def _write_label(
    info: DatasetInfo, case: Case, geometry: Geometry, frame: Frame, folder: Path
) -> list[int]:
    """Write classes and foreground voxels; return the number of the latter by class."""
    whole = read_label(case, info, geometry)
    label = resample_classes(frame.cut(whole), frame.shape)
    voxels = [_sample_voxels(label == index) for index in range(1, len(info.classes))]
    _save(folder / LABEL, label)
    _save(folder / FOREGROUND, np.concatenate(voxels))
    if not np.array_equal(frame.restore(label), whole):
        _save(folder / REFERENCE, whole)
    return [len(each) for each in voxels]


def _write_sample(folder: Path) -> None:
    """Write the Hounsfield units of foreground voxels, which a fingerprint is made of."""
    d, h, w = _sample_voxels(np.load(folder / LABEL, mmap_mode="r") > 0).T
    _save(folder / SAMPLE, np.load(folder / IMAGE, mmap_mode="r")[:, d, h, w])


def _sample_voxels(mask: np.ndarray) -> np.ndarray:
    """Return at most `MAX_FOREGROUND` voxels of a mask, spread evenly over all of them; int32 (n, 3)."""
    flat = np.flatnonzero(mask)
    if len(flat) > MAX_FOREGROUND:
        flat = flat[np.linspace(0, len(flat) - 1, MAX_FOREGROUND).astype(np.int64)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int32)


def _save(path: Path, array: np.ndarray) -> None:
    _write_array(
        path, array.shape, array.dtype, (np.ascontiguousarray(part).tobytes() for part in array)
    )


def _write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterator[bytes]
) -> None:
    header = BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    write_durably(path, chain([header.getvalue()], blocks))


def _remove_outdated(folder: Path) -> None:
    """Remove what was made of the same files, with the same settings, before they changed."""
    record = json.loads((folder / RECORD).read_text())
    siblings = re.compile(re.escape(record["id"]) + r"-[0-9a-f]{12}")
    for other in folder.parent.iterdir():
        if other == folder or not siblings.fullmatch(other.name):
            continue
        old = json.loads((other / RECORD).read_text())
        if (old.get("source"), old.get("settings")) == (record["source"], record["settings"]):
            log.warning(
                "%s: the files of case %s have changed; %s is removed",
                record["dataset"],
                record["id"],
                other,
            )
            shutil.rmtree(other)


def _case_key(dataset: Dataset, case: Case, settings: Preparation) -> str:
    info = dataset.info
    times = [path.stat().st_mtime_ns for path in case.files]
    facts = [
        info.name,
        info.release,
        info.modality,
        info.label_values,
        PREPARATION_VERSION,
        asdict(settings),
    ]
    return _hash(
        [*facts, _describe_files(case, dataset.root), case.stack, case.spacing_known, times]
    )[:12]


def _describe_files(case: Case, root: Path) -> list[list[str | int]]:
    files = {**case.images, **({"label": case.label} if case.label else {})}
    return [
        [role, Path(os.path.relpath(path, root)).as_posix(), path.stat().st_size]
        for role, path in files.items()
    ]


def _hash(content: object) -> str:
    return hashlib.sha1(json.dumps(content).encode(), usedforsecurity=False).hexdigest()
