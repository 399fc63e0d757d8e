from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.conftest import SHAPE, save_volume

DESCRIPTION: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "T2"},
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [1, 3], "rim": 3},
    "regions_class_order": [2, 1, 3],
    "numTraining": 6,
    "file_ending": ".nii.gz",
}


def write_root(
    folder: Path, name: str = "Dataset137_Tumour", ending: str = ".nii.gz", **changes: object
) -> Path:
    """Write a raw folder of six cases and a test case into ``folder``; None removes a key."""
    content = {k: v for k, v in (DESCRIPTION | changes).items() if v is not None}
    root = folder / name
    rng = np.random.default_rng(7)
    for number in range(1, 8):
        part = "imagesTr" if number < 7 else "imagesTs"
        for channel in range(len(content["channel_names"])):
            volume = rng.integers(1, 900, SHAPE).astype(np.int16)
            volume[:, 0] = 0
            save_volume(root / part / f"case_{number:03d}_{channel:04d}{ending}", volume)
        if part == "imagesTr":
            label = np.zeros(SHAPE, dtype=np.uint8)
            label[1:5, 2:6, 2:8] = 2
            label[2:4, 3:5, 3:6] = 3
            label[2, 3, 3] = 1
            save_volume(root / "labelsTr" / f"case_{number:03d}{ending}", label)
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def make_root(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a raw folder of nnU-Net below a fresh ``nnUNet_raw``."""

    def make(**changes: Any) -> Path:
        return write_root(tmp_path / "nnUNet_raw", **changes)

    return make
