from __future__ import annotations

import numpy as np
import pytest

from datasets.base import Window
from datasets.kits import Kits
from datasets.lits import Lits
from datasets.prepared.intensity import fit_window, scale_mri


def test_mri_z_score_uses_one_mask_for_all_channels() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(500, 80, (4, 5, 6, 7)).astype(np.float32)
    image[:, :2] = 0
    image[0, 2], image[1, 3] = 0, 0  # where one channel is 0 the others still say brain
    image[3] = np.where(image[2] > 0, 9, 0)  # constant inside the brain
    mask = image.sum(0) > 0
    result = image.copy()
    scale_mri(result)
    for channel in range(3):
        values = image[channel][mask].astype(np.float64)
        np.testing.assert_allclose(
            result[channel][mask], (values - values.mean()) / values.std(), rtol=0, atol=1e-5
        )
    assert result.dtype == np.float32
    assert not result[:, ~mask].any()
    assert not result[3].any()


@pytest.mark.parametrize(
    ("dataset", "low", "high", "mean", "std"),
    [(Kits, -79, 304, 101.0, 76.9), (Lits, -20, 210, 99.4, 39.36)],
)
def test_ct_is_clipped_then_scaled(
    dataset: type[Kits] | type[Lits], low: int, high: int, mean: float, std: float
) -> None:
    image = np.array([-1024, -79, -20, 0, 101, 210, 304, 3000], dtype=np.float32)
    expected = (np.minimum(np.maximum(image.astype(np.float64), low), high) - mean) / std
    assert dataset.window is not None
    dataset.window.scale_in_place(image)
    np.testing.assert_allclose(image, expected, rtol=1e-6, atol=1e-7)


def test_fingerprint_pools_the_foreground_of_all_cases() -> None:
    window = fit_window(
        [np.arange(0, 601, dtype=np.int16)[None], np.arange(601, 1001, dtype=np.int16)[None]]
    )
    assert (window.low_hu, window.high_hu, window.mean_hu) == (5.0, 995.0, 500.0)
    assert window.std_hu == pytest.approx(np.sqrt((1001**2 - 1) / 12))


def test_fingerprint_without_foreground_is_refused() -> None:
    with pytest.raises(ValueError, match="fingerprint: the training cases must have foreground"):
        fit_window([np.empty((1, 0), dtype=np.int16)])
    with pytest.raises(ValueError, match="window: must have low < high"):
        Window(10, 10, 0, 1)
