"""Intensities as the model sees them: a z-score of MRI within the body, a scaled window of CT.

Each MRI case is scaled once, when it is prepared. CT is stored in Hounsfield units, and scaled when
a patch is read, because the window may depend on the training cases of the fold.
"""

from collections.abc import Iterable

import numpy as np

from datasets.base import Window

BODY_HU = -300.0  # air and the padding of scanners are below, fat and the table above
FINGERPRINT_PERCENT = (0.5, 99.5)
INT16 = np.iinfo(np.int16)


def fit_window(samples: Iterable[np.ndarray]) -> Window:
    """Return 0.5 and 99.5 percentiles, mean and deviation of foreground values of all cases.

    Raises: ValueError if there are fewer than two different values.
    Reference: Isensee et al. 2021, Nature Methods 18:203-211 (CT normalisation).
    """
    parts = [np.ravel(sample).astype(np.float64) for sample in samples]
    values = np.concatenate([np.empty(0), *parts])
    if values.size == 0 or values.min() == values.max():
        rule = "the training cases must have foreground of different intensities"
        raise ValueError(f"fingerprint: {rule}, got none")
    low, high = np.percentile(values, FINGERPRINT_PERCENT)
    return Window(float(low), float(high), float(values.mean()), float(values.std()))


def find_body(image: np.ndarray, *, is_ct: bool) -> np.ndarray:
    """Return where a case (C, D, H, W) is not air or background, bool (D, H, W).

    For MRI, where any channel is not 0. Without negative intensities that equals Med-Tuning's mask
    (a positive sum).
    """
    body = np.zeros(image.shape[1:], dtype=bool)
    for channel in image:
        body |= channel > BODY_HU if is_ct else channel != 0
    return body


def scale_mri(image: np.ndarray) -> None:
    """Replace each channel of (C, D, H, W) float32 by its z-score over the body; outside stays 0.

    All channels share one mask. A channel that is constant in it has no information and becomes 0.
    """
    body = find_body(image, is_ct=False)
    for channel in image:
        values = channel[body]
        std = values.std(dtype=np.float64) if values.size else 0.0
        if std > 0:
            values -= np.float32(values.mean(dtype=np.float64))
            values /= np.float32(std)
        else:
            values[:] = 0
        channel[body] = values


def to_int16(values: np.ndarray) -> np.ndarray:
    """Return rounded values; values outside int16, such as absurd Hounsfield units, are clipped."""
    rounded = np.rint(values)
    np.clip(rounded, INT16.min, INT16.max, out=rounded)
    return rounded.astype(np.int16)
