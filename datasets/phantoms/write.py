"""Write synthetic patients in the on-disk layout of the real data sets, for the real loaders.

Each patient depends on the release, the seed, the volume's shape and its own number, never on how
many there are; the same call gives the same bytes. The root holds no other data, and
`SYNTHETIC_MARKER` in it states what it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

import datasets
from datasets.base import SYNTHETIC_MARKER, SYNTHETIC_PLAN, DataError, VolumeShape
from datasets.files import read_record, sync_folder, write_durably
from datasets.locks import hold_lock
from datasets.phantoms.layouts import DEFAULT_LAYOUT, LAYOUTS, get_layout
from datasets.volumes.pool import OnCase, ignore_progress

if TYPE_CHECKING:  # imports SciPy, which phantoms that are there do without
    from datasets.phantoms.anatomy import Patient

GENERATOR = "datasets.phantom"
GENERATOR_VERSIONS = {"brats": 4, "kits": 5, "lits": 5}  # raise one when its patients change
DEMO_SHAPE: VolumeShape = (32, 64, 64)
FULL_SHAPE: VolumeShape = (155, 240, 240)
OTHER_FOLDER = "give another folder or delete it"
LOCK = ".lock"  # in the root, while it is written to
MIN_SIZE = 16  # voxels along each axis; below it the smallest structures vanish


def write_phantoms(
    name: str,
    root: Path,
    n_cases: int,
    seed: int = 0,
    shape: VolumeShape | None = None,  # None: `DEMO_SHAPE`
    on_case: OnCase = ignore_progress,
) -> None:
    """Write synthetic cases below ``root``; ``name`` is a data set, a release or a layout.

    Cases that an earlier call with the same numbers wrote are kept, and missing ones are added.

    Raises: ValueError for an unknown name or a number out of range; DataError if the root holds
    anything else.
    """
    if name not in LAYOUTS:
        datasets.check_name(name)
    layout = get_layout(name)
    kind = datasets.get(layout.dataset)
    release = kind.find_release(layout.release)
    shape = shape or DEMO_SHAPE
    if n_cases < 1 or min(shape) < MIN_SIZE:
        rule = f"n_cases must be >= 1 and sizes >= {MIN_SIZE}"
        raise ValueError(f"phantom: {rule}, got {n_cases} and {shape}")
    plan = {
        "generator": GENERATOR,
        "version": GENERATOR_VERSIONS[layout.dataset],
        "dataset": layout.dataset,
        "layout": layout.release,
        "n_cases": n_cases,
        "seed": seed,
        "shape": list(shape),
    }
    if _read_marker(root) == plan:
        return  # no lock: the root may be closed to writing
    from datasets.phantoms.files import write_patient

    with hold_lock(root / LOCK):
        if _open_root(root, plan):
            return
        for index in range(n_cases):
            if not all((root / file).is_file() for file in layout.name_files(index)):
                patient = draw_patient(layout.release, index, seed, shape)
                write_patient(patient, layout, release, kind.modality, root, index)
            on_case(index + 1, n_cases)
        for file, text in layout.describe_cases(n_cases).items():
            write_durably(root / file, text)
        (root / SYNTHETIC_PLAN).replace(root / SYNTHETIC_MARKER)
        sync_folder(root)


def draw_patient(name: str, index: int, seed: int = 0, shape: VolumeShape = DEMO_SHAPE) -> Patient:
    """Return patient ``index`` of a data set, release or layout in canonical orientation.

    Nothing is written. The layouts of a data set have different patients.
    """
    from datasets.phantoms.anatomy import DRAWERS
    from datasets.phantoms.shapes import VoxelGrid

    layout = get_layout(name)
    stream = [seed, sorted(DRAWERS).index(layout.dataset), index]
    if layout.release != DEFAULT_LAYOUT[layout.dataset]:
        stream.append(crc32(layout.release.encode()))
    return DRAWERS[layout.dataset](VoxelGrid(shape), np.random.default_rng(stream))


def _read_marker(root: Path) -> dict[str, Any] | None:
    marker = root / SYNTHETIC_MARKER
    return read_record(marker, dict[str, Any], OTHER_FOLDER) if marker.is_file() else None


def _open_root(root: Path, plan: dict[str, Any]) -> bool:
    """Return whether the root holds the plan's cases; if not, mark it by writing the plan."""
    marker, note = root / SYNTHETIC_MARKER, root / SYNTHETIC_PLAN
    known = next((path for path in (marker, note) if path.is_file()), None)
    if known is None and root.is_dir() and any(root.glob("[!.]*")):
        rule = f"{root} holds files that are not synthetic data"
        raise DataError(f"phantom: {rule} (give an empty or a new folder)")
    if known is not None:
        found = read_record(known, dict[str, Any], OTHER_FOLDER)
        n_found = found.get("n_cases")
        fits = isinstance(n_found, int) and n_found <= plan["n_cases"]
        if {**found, "n_cases": 0} != {**plan, "n_cases": 0} or not fits:
            rule = f"{root} holds {found}, asked for {plan}"
            raise DataError(f"phantom: {rule} ({OTHER_FOLDER})")
        if known == marker and found == plan:
            return True
    write_durably(note, json.dumps(plan, indent=1))
    marker.unlink(missing_ok=True)
    return False
