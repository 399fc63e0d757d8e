"""Images of families of contours, for classification: the classical formula-driven pre-training.

Reference: Kataoka et al., Replacing Labeled Real-image Datasets with Auto-generated Contours, CVPR
2022, arXiv 2206.09132. A family is a set of harmonics and a number of lines; an image is one of its
contours, moved, turned, scaled, in random colours.
"""

from __future__ import annotations

import math

import torch

from bench.pretrain.random_source import N_CHANNELS, RandomSource, z_score

N_CATEGORIES = 200
N_HARMONICS = 8
FAMILIES_SEED = 0


def render_contours(
    generator: torch.Generator, count: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images float32 (B, 3, H, W), z-scored, and their families int64 (B)."""
    families = RandomSource(torch.Generator().manual_seed(FAMILIES_SEED), N_CATEGORIES, size)
    amplitudes = families.uniform(0, 0.25, N_HARMONICS) * families.integers(2, N_HARMONICS)
    phases = families.uniform(0, 2 * math.pi, N_HARMONICS)
    n_lines = 1 + families.integers(4)

    source = RandomSource(generator, count, size)
    category = source.integers(N_CATEGORIES)
    away = source.grid - source.uniform(-0.3, 0.3, 2, 1, 1)
    angle = torch.atan2(away[:, 0], away[:, 1]) + source.uniform(0, 2 * math.pi, 1, 1)
    contour = torch.ones_like(angle)
    for order in range(N_HARMONICS):
        wave = ((order + 1) * angle + phases[category, order, None, None]).cos()
        contour = contour + amplitudes[category, order, None, None] * wave
    radius = source.uniform(0.35, 0.7, 1, 1)
    level = torch.hypot(away[:, 0], away[:, 1]) / (radius * contour.clamp_min(0.2))
    lines = ((level * n_lines[category, None, None]) % 1 > 0.7) & (level < 1)
    colours = source.uniform(-1, 1, N_CHANNELS, 2, 1, 1)
    image = torch.where(lines[:, None], colours[:, :, 0], colours[:, :, 1])
    image = image + 0.15 * source.smooth(N_CHANNELS, 6) + 0.1 * source.normal(*image.shape[1:])
    return z_score(image, image), category
