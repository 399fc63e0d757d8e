"""Classes of label values: bytes by a table, all others value by value, with one result."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.base import DatasetInfo
from datasets.brats import Brats
from datasets.kits import Kits
from datasets.volumes.values import UNKNOWN_CLASS, UnknownValues, classify

INFOS = [Kits.describe("kits19"), Brats.describe("brats2020"), Brats.describe("ped2024")]


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64, np.float32])
def test_every_type_gives_the_same_classes(info: DatasetInfo, dtype: type[np.generic]) -> None:
    values = np.arange(256).astype(dtype).reshape(4, 64)
    classes = classify(values, info)
    assert (classes.shape, classes.dtype) == (values.shape, np.uint8)
    expected = np.full(256, UNKNOWN_CLASS)
    expected[list(info.label_values)] = np.arange(len(info.label_values))
    np.testing.assert_array_equal(classes.ravel(), expected)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([3.0], "3 at 1 voxel"),
        ([7.0, 3.0, 3.0], "3, 7 at 3 voxels"),
        ([0.998, 1.002, 1.5], "0.998 to 1.5 at 3 voxels, not all of them whole numbers"),
        ([0.5], "0.5 at 1 voxel, not all of them whole numbers"),
        ([np.nan, np.nan], "NaN at 2 voxels"),
        ([np.nan, 9.0], "9 and NaN at 2 voxels, not all of them whole numbers"),
        (list(range(10, 100)), "10, 11, 12, 13, 14 and more up to 99 at 90 voxels"),
    ],
)
def test_unknown_values_are_told_by_number_and_range(values: list[float], sentence: str) -> None:
    array = np.array(values, dtype=np.float32)
    unknown = UnknownValues()
    unknown.add(array, classify(array, INFOS[0]))
    assert unknown.describe() == sentence
