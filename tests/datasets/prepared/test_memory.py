"""Memory: preparing takes less than four times the float32 size, reading patches keeps nothing."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from datasets.kits import Kits
from datasets.prepared.batches.patches import Patches
from datasets.prepared.case import PreparedCase
from datasets.prepared.prepare import prepare
from tests.datasets.roots.build import kidney

SHAPE = (96, 160, 160)
FLOAT32_BYTES = 4 * int(np.prod(SHAPE))


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_preparing_takes_less_than_four_times_the_float32_size(dtype: type, tmp_path: Path) -> None:
    """NumPy reports its arrays to tracemalloc, and the file's blocks are bytes: all is counted."""
    folder = tmp_path / "kits19" / "case_00001"
    folder.mkdir(parents=True)
    image = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(dtype)
    label = (np.indices(SHAPE).sum(axis=0) > 200).astype(np.uint8)
    for name, volume in (("imaging", image), ("segmentation", label)):
        nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 2.0, 1.0])), folder / f"{name}.nii")
    del image, label, volume
    dataset = Kits(tmp_path)
    tracemalloc.start()
    try:
        prepare(dataset, dataset.find_cases(), tmp_path / "cache")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert FLOAT32_BYTES < peak < 4 * FLOAT32_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_case_stays_mapped_after_its_patch_was_read(tmp_path: Path) -> None:
    for number in range(20):
        kidney(tmp_path, f"case_{number:05d}")
    dataset = Kits(tmp_path)
    cases: list[PreparedCase] = prepare(dataset, dataset.find_cases(), tmp_path / "cache")
    patches = Patches(cases, (2, 2, 2), 200, 0, 0.5, augment=True)
    assert len(patches.read(0, range(200))["label"]) == 200
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line
    ]
    assert mapped == []
