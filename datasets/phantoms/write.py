"""Write synthetic patients in the on-disk layout of the real data sets, so that the real loaders read them back.

Each patient depends on the data set, the seed, the volume's shape and its own number, never on how
many there are; the same call gives the same bytes. The root holds no other data and says what it
is: `SYNTHETIC_MARKER`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets.base import SYNTHETIC_MARKER, SYNTHETIC_PLAN, DataError, VolumeShape
from datasets.phantoms.anatomy import DRAWERS, Patient
from datasets.phantoms.files import write_bytes, write_patient
from datasets.phantoms.layouts import DEFAULT_LAYOUT, get_layout
from datasets.phantoms.shapes import VoxelGrid

GENERATOR = "datasets.phantom"
GENERATOR_VERSIONS = {
    "brats": 3,
    "kits": 4,
    "lits": 4,
}  # raise one when patients of this data set look otherwise
DEMO_SHAPE: VolumeShape = (32, 64, 64)
FULL_SHAPE: VolumeShape = (155, 240, 240)
MIN_SIZE = 16  # voxels along each axis; below it the smallest structures vanish


def write_phantoms(
    name: str,
    root: Path,
    n_cases: int,
    seed: int = 0,
    shape: VolumeShape | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
    layout: str | None = None,
) -> None:
    """Write ``n_cases`` synthetic cases of a data set below ``root``; what an interrupted call left is completed.

    ``layout`` names one of `datasets.phantoms.layouts`, None: the data set's default. ``shape`` is
    (D, H, W) in voxels, `DEMO_SHAPE` if None; ``on_case`` hears how many cases are done. A root
    that was completed with the same numbers before is left as it is; a larger ``n_cases`` adds
    cases to it.

    Raises: ValueError for an unknown data set or a number out of range; DataError if the root holds
    anything else.
    """
    kind = datasets.get(name)
    layout = layout or DEFAULT_LAYOUT[name]
    files = get_layout(layout)
    if files.dataset != name:
        raise ValueError(
            f"phantom: layout '{layout}' is one of {files.dataset}, got data set {name}"
        )
    release = kind.find_release(files.release)
    shape = shape or DEMO_SHAPE
    if n_cases < 1 or min(shape) < MIN_SIZE:
        raise ValueError(
            f"phantom: n_cases must be >= 1 and sizes >= {MIN_SIZE}, got {n_cases} and {shape}"
        )
    plan = {
        "generator": GENERATOR,
        "version": GENERATOR_VERSIONS[name],
        "dataset": name,
        "layout": layout,
        "n_cases": n_cases,
        "seed": seed,
        "shape": list(shape),
    }
    if _open_root(root, plan):
        return
    for index in range(n_cases):
        if not all((root / file).is_file() for file in files.files(index)):
            write_patient(
                draw_patient(name, index, seed, shape), files, release, kind.modality, root, index
            )
        on_case(index + 1, n_cases)
    for file, text in files.beside(n_cases).items():
        write_bytes(root / file, text.encode())
    (root / SYNTHETIC_PLAN).replace(root / SYNTHETIC_MARKER)


def draw_patient(name: str, index: int, seed: int = 0, shape: VolumeShape = DEMO_SHAPE) -> Patient:
    """Return patient ``index`` of a data set in canonical orientation, without writing anything."""
    stream = sorted(DRAWERS).index(name)
    return DRAWERS[name](VoxelGrid(shape), np.random.default_rng((seed, stream, index)))


def _open_root(root: Path, plan: dict[str, Any]) -> bool:
    """Return whether the root holds the plan's cases; if not, note in it what is going to be there.

    The note makes a half-written root known as synthetic, and is what the next call continues from.
    """
    marker, note = root / SYNTHETIC_MARKER, root / SYNTHETIC_PLAN
    known = next((path for path in (marker, note) if path.is_file()), None)
    if known is None and root.is_dir() and any(root.glob("[!.]*")):
        raise DataError(
            f"phantom: {root} holds files that are not synthetic data (give an empty or a new folder)"
        )
    if known is not None:
        found = json.loads(known.read_text())
        if {**found, "n_cases": 0} != {**plan, "n_cases": 0} or found["n_cases"] > plan["n_cases"]:
            raise DataError(
                f"phantom: {root} holds {found}, asked for {plan} (give another folder or delete it)"
            )
        if known == marker and found == plan:
            return True
    root.mkdir(parents=True, exist_ok=True)
    write_bytes(note, json.dumps(plan, indent=1).encode())
    marker.unlink(missing_ok=True)
    return False
