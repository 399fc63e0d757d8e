"""Slices of predictions for pictures: the same for every method, and never many."""

from pathlib import Path

import numpy as np
import pytest

from reports.records.slices import (
    LONGEST_SIDE,
    MOST_PIXELS,
    MOST_SLICES,
    cut_slices,
    read_slices,
    write_slices,
)


def make_volume(shape: tuple[int, int, int] = (40, 24, 20)) -> tuple[np.ndarray, np.ndarray]:
    reference = np.zeros(shape, np.uint8)
    reference[10:30, 5:12, 5:12] = 1
    reference[12:14, 7:9, 7:9] = 3
    return np.random.default_rng(0).normal(size=shape).astype(np.float32), reference


def test_slices_lie_in_the_reference_and_do_not_depend_on_the_prediction() -> None:
    image, reference = make_volume()
    first = cut_slices(image, reference, reference, n_cases=1)
    second = cut_slices(image, reference, np.zeros_like(reference), n_cases=1)
    assert first.depths.tolist() == second.depths.tolist()
    assert len(first.depths) == MOST_SLICES
    assert 10 <= first.depths.min() < first.depths.max() < 30
    assert (first.reference == reference[first.depths]).all()
    assert not second.prediction.any()
    assert (first.image.dtype, first.image.min(), first.image.max()) == (np.uint8, 0, 255)


def test_without_a_reference_the_middle_is_kept() -> None:
    image, reference = make_volume()
    assert cut_slices(image, 0 * reference, reference, n_cases=1).depths.tolist() == [20]


@pytest.mark.parametrize(
    ("shape", "n_cases"), [((155, 240, 240), 74), ((400, 512, 512), 60), ((8, 32, 32), 3000)]
)
def test_a_run_keeps_no_more_than_the_bound(shape: tuple[int, int, int], n_cases: int) -> None:
    reference = np.ones(shape, np.uint8)
    kept = cut_slices(np.broadcast_to(np.float32(1), shape), reference, reference, n_cases)
    assert max(kept.image.shape[1:]) <= LONGEST_SIDE
    assert kept.image.size * n_cases <= MOST_PIXELS
    assert len(kept.depths) >= 1
    assert set(np.unique(kept.prediction)) == {1}  # thinned, never averaged


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    image, reference = make_volume()
    cut = cut_slices(image, reference, 2 * reference, n_cases=2)
    write_slices(tmp_path / "slices.npz", {"case/1": cut, "case/2": cut})
    found = read_slices(tmp_path / "slices.npz", "case/1")
    assert found is not None
    for name, array in vars(cut).items():
        assert (getattr(found, name) == array).all()
    assert read_slices(tmp_path / "slices.npz", "case/3") is None
