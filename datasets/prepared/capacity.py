"""The needs of a preparation: bytes on disk, bytes of memory, and how many workers that allows."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import psutil
from nibabel.affines import voxel_sizes

from datasets.base import Case, DataError, SpacingMm
from datasets.volumes.nifti import READ_ERRORS, open_volume

PEAK_FACTOR = 4  # bytes that a worker holds at its peak, over the float32 size of the case
WORTH_A_POOL = 256 << 20  # bytes below which starting processes takes longer than the work
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Need:
    """The needs of one case."""

    disk: int  # bytes of its prepared arrays, at most
    float32: int  # bytes of its channels in float32

    @property
    def memory(self) -> int:  # bytes that its worker holds at its peak
        return PEAK_FACTOR * self.float32


def estimate(case: Case, spacing_mm: SpacingMm | None) -> Need:
    """Return the needs of a case by its first header; none if it is unreadable (reported later)."""
    try:
        volume = open_volume(next(iter(case.images.values())), case.id)
        n_vox = prod(volume.shape[:3])
        with np.errstate(all="ignore"):
            volume_mm3 = n_vox * float(np.prod(voxel_sizes(volume.placement.affine)))
        n_new = n_vox if spacing_mm is None else round(volume_mm3 / prod(spacing_mm))
    except READ_ERRORS:
        return Need(0, 0)
    n_channels = len(case.images)
    if spacing_mm is None:
        return Need(n_vox * (2 * n_channels + 1), 4 * n_channels * n_vox)
    return Need(n_new * (2 * n_channels + 1) + n_vox, 4 * n_channels * max(n_vox, n_new))


def check_room(name: str, needs: Iterable[Need], folder: Path) -> None:
    """Raise DataError if the folder's disk has too little room for the prepared arrays."""
    needed = sum(need.disk for need in needs)
    free = shutil.disk_usage(folder).free
    if needed > free:
        room = f"which has {free / 2**30:.1f} GiB free"
        raise DataError(
            f"{name}: preparing takes up to {needed / 2**30:.1f} GiB below {folder}, {room} "
            "(make room, or put it elsewhere with --out)"
        )


def choose_workers(needs: Sequence[Need], jobs: int | None) -> int:
    """Return how many cases to prepare at once: ``jobs`` or one a core, as far as memory goes."""
    if len(needs) < 2 or sum(need.float32 for need in needs) < WORTH_A_POOL:
        return 1
    by_memory = available_memory() // max(need.memory for need in needs)
    return max(1, min(jobs or count_cores(), by_memory, len(needs)))


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes that are available without swapping, or that a container allows if less."""
    free = psutil.virtual_memory().available
    limit = CGROUP_LIMIT.read_text(encoding="ascii").strip() if CGROUP_LIMIT.is_file() else "max"
    return free if limit == "max" else min(free, int(limit))
