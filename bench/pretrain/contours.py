"""Images of a few hundred families of contours, for classification: the classical formula-driven pre-training.

Reference: Kataoka et al., Replacing Labeled Real-image Datasets with Auto-generated Contours, CVPR
2022, arXiv 2206.09132. A family is a set of harmonics and a number of lines; an image is one of its
contours, moved, turned, scaled, in random colours.
"""

from __future__ import annotations

import math

import torch

from bench.pretrain.scenes import N_CHANNELS, Dice

N_CATEGORIES = 200
N_HARMONICS = 8
FAMILIES_SEED = 0


def render_contours(
    generator: torch.Generator, count: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images float32 (B, 3, H, W), z-scored, and their families int64 (B)."""
    families = Dice(torch.Generator().manual_seed(FAMILIES_SEED))
    amplitudes = families.uniform(0, 0.25, N_CATEGORIES, N_HARMONICS) * families.integers(
        2, N_CATEGORIES, N_HARMONICS
    )
    phases = families.uniform(0, 2 * math.pi, N_CATEGORIES, N_HARMONICS)
    n_lines = 1 + families.integers(4, N_CATEGORIES)

    dice = Dice(generator)
    category = dice.integers(N_CATEGORIES, count)
    axis = torch.linspace(-1, 1, size)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
    away = grid - dice.uniform(-0.3, 0.3, count, 2)[:, :, None, None]
    angle = torch.atan2(away[:, 0], away[:, 1]) + dice.uniform(0, 2 * math.pi, count)[:, None, None]
    contour = torch.ones_like(angle)
    for order in range(N_HARMONICS):
        wave = ((order + 1) * angle + phases[category, order, None, None]).cos()
        contour = contour + amplitudes[category, order, None, None] * wave
    radius = dice.uniform(0.35, 0.7, count)[:, None, None]
    level = torch.hypot(away[:, 0], away[:, 1]) / (radius * contour.clamp_min(0.2))
    lines = ((level * n_lines[category, None, None]) % 1 > 0.7) & (level < 1)
    colours = dice.uniform(-1, 1, count, N_CHANNELS, 2)[..., None, None]
    image = torch.where(lines[:, None], colours[:, :, 0], colours[:, :, 1])
    image = image + 0.15 * dice.smooth(count, N_CHANNELS, 6, size) + 0.1 * dice.normal(*image.shape)
    mean, deviation = image.mean(dim=(2, 3), keepdim=True), image.std(dim=(2, 3), keepdim=True)
    return (image - mean) / deviation, category
