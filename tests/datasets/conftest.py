from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.base import SpacingMm
from tests.datasets.roots.build import save as save_case_file

SHAPE = (6, 8, 10)  # (D, H, W), all different so that a swapped axis shows
SPACING_MM = (3.0, 2.0, 1.0)
CHANNELS = ("flair", "t1ce", "t1", "t2")


def save_volume(
    path: Path, array: np.ndarray, codes: str = "LPS", spacing_mm: SpacingMm = SPACING_MM
) -> Path:
    """Store a canonical array (D, H, W) in a file whose axes have the codes."""
    return save_case_file(path, array, codes, spacing_mm)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def save() -> Callable[..., Path]:
    return save_volume


@pytest.fixture
def brats_root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Six tiny labelled cases; the background is 0, all four label values occur."""
    root = tmp_path / "brats"
    for number in range(1, 7):
        case = f"BraTS20_Training_{number:03d}"
        for channel in CHANNELS:
            volume = rng.integers(1, 900, SHAPE).astype(np.int16)
            volume[:, 0] = 0
            save_volume(root / case / f"{case}_{channel}.nii.gz", volume)
        label = np.zeros(SHAPE, dtype=np.uint8)
        label[1:5, 2:6, 2:8] = 2
        label[2:4, 3:5, 3:6] = 4
        label[2, 3, 3] = 1
        save_volume(root / case / f"{case}_seg.nii.gz", label)
    return root
