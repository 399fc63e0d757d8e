"""The logits of a whole volume, from overlapping windows.

Windows, weights and order of summation are those of MONAI's ``sliding_window_inference``, which the
tests hold it against. MONAI itself takes seconds to import, in every process that computes.
"""

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch.nn import functional as F

Shape = tuple[int, int, int]
SIGMA_FRAC = 1 / 8  # of the window's size, as in nnU-Net (Isensee et al., Nature Methods 2021)
LEAST_WEIGHT = 1e-3
GAUSSIAN = "gaussian"


def predict_volume(
    volume: torch.Tensor,
    predict_window: Callable[[torch.Tensor], torch.Tensor],
    patch: Shape,
    overlap: float,
    blend: str,
) -> torch.Tensor:
    """Return the logits (1, K, D, H, W) of a volume (1, C, D, H, W), on the volume's device.

    Args:
        predict_window: from (1, C, *patch) to (1, K, *patch), on a device of its own choice.
        overlap: share of a window that the next one covers.
        blend: ``gaussian`` weights, or ``constant``: equal ones.
    """
    size = volume.shape[2:]
    margins = _split_margins(size, patch)
    padded = F.pad(volume, [width for pair in reversed(margins) for width in pair])
    windows = list_windows(padded.shape[2:], patch, overlap)
    weights = build_weights(patch, blend).to(volume.device)
    total = None
    norm = torch.zeros(padded.shape[2:], device=volume.device)
    for window in windows:
        logits = predict_window(padded[:, :, *window]).to(volume.device)
        if total is None:
            total = torch.zeros(1, logits.shape[1], *padded.shape[2:], device=volume.device)
        total[:, :, *window] += logits * weights
        norm[window] += weights
    assert total is not None  # there is at least one window
    total /= norm
    return total[:, :, *(slice(low, low + n) for (low, _), n in zip(margins, size, strict=True))]


def list_windows(size: Sequence[int], patch: Shape, overlap: float) -> list[tuple[slice, ...]]:
    """Return the windows that cover a volume; the last of an axis ends with the volume."""
    starts = []
    for length, width in zip(size, patch, strict=True):
        step = max(int(width * (1 - overlap)), 1)
        last = length - width
        starts.append([*range(0, last, step), last])
    return [
        tuple(slice(low, low + width) for low, width in zip(corner, patch, strict=True))
        for corner in product(*starts)
    ]


def build_weights(patch: Shape, blend: str) -> torch.Tensor:
    """Return the weight of each voxel of a window, float32."""
    weights = torch.ones(())
    for width in patch if blend == GAUSSIAN else ():
        offsets = torch.arange(width) - (width - 1) / 2
        bell = torch.exp(offsets**2 / (-2 * (width * SIGMA_FRAC) ** 2))
        weights = weights[..., None] * bell
    return weights.expand(patch).clamp(min=max(float(weights.min()), LEAST_WEIGHT))


def _split_margins(size: Sequence[int], patch: Shape) -> list[tuple[int, int]]:
    """Return what is added before and after each axis of a volume smaller than the patch."""
    lacking = [max(width - length, 0) for length, width in zip(size, patch, strict=True)]
    return [(n // 2, n - n // 2) for n in lacking]
