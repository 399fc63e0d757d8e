from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.base import DataError
from datasets.prepared.slabs import ArrayFile

BOXES = [
    (np.s_[0:40], np.s_[0:7], np.s_[0:9]),
    (np.s_[3:36], np.s_[2:6], np.s_[1:4]),
    (np.s_[39:40], np.s_[6:7], np.s_[8:9]),
]


@pytest.fixture
def volume(tmp_path: Path) -> np.ndarray:
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 40, 7, 9)).astype(np.int16)
    np.save(tmp_path / "image.npy", values)
    return values


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("channel", [0, 2])
def test_slabs_are_the_box(
    volume: np.ndarray, tmp_path: Path, box: tuple[slice, ...], channel: int
) -> None:
    expected = volume[(channel, *box)]
    found = np.zeros_like(expected)
    for where, values in ArrayFile.find(tmp_path / "image.npy").iter_slabs(box, channel):
        found[where] = values
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("empty", [np.s_[40:40], np.s_[0:0]])
def test_an_empty_box_has_no_slabs(volume: np.ndarray, tmp_path: Path, empty: slice) -> None:
    file = ArrayFile.find(tmp_path / "image.npy")
    assert file.shape == volume.shape
    assert list(file.iter_slabs((empty, np.s_[0:7], np.s_[0:9]))) == []


def test_a_file_that_ends_early_is_an_error(volume: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    file = ArrayFile.find(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert sum(len(values) for _, values in file.iter_slabs(BOXES[0], channel=1)) == volume.shape[1]
    with pytest.raises(
        DataError, match=r"image\.npy ends early \(remove its folder, and it is prepared again\)"
    ):
        list(file.iter_slabs(BOXES[0], channel=2))
