"""Closed contours r(angle): the shape classes of scenes, and images of one contour each.

Reference: Kataoka et al., Replacing Labeled Real-image Datasets with Auto-generated Contours, CVPR
2022, arXiv 2206.09132. A family is a set of harmonics and a number of lines; an image is one of its
contours, moved, turned, scaled, in random colours.
"""

import math
from dataclasses import dataclass

import torch

from bench.pretrain.random_source import N_CHANNELS, RandomSource, z_score

N_CATEGORIES = 200
N_HARMONICS = 8
FAMILIES_SEED = 0
N_ANGLES = 256  # samples of a contour
N_ORDERS = 8  # harmonics, from order 0


@dataclass(frozen=True)
class ShapeClass:
    """A family of contours."""

    name: str
    harmonics: tuple[int, ...] = ()  # the strong ones
    amplitude: float = 0.0  # of those
    aspect: float = 1.2  # length by width
    notch: float = 0.0  # its depth, in radii


SHAPES = (
    ShapeClass("round"),
    ShapeClass("oval", aspect=2.0),
    ShapeClass("bar", aspect=4.0),
    ShapeClass("triangle", (3,), 0.22),
    ShapeClass("square", (4,), 0.18),
    ShapeClass("star", (5,), 0.35),
    ShapeClass("lobes", (2, 3, 6, 7), 0.16),
    ShapeClass("bean", aspect=1.6, notch=0.55),
)


def draw_level(
    source: RandomSource, kind: torch.Tensor, away: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Return the level of each pixel (B, H, W): below 1 inside the contour, 1 on it.

    ``kind`` are the classes' numbers in `SHAPES` (B), ``away`` the ways from each pixel to the
    object's centre (B, 2, H, W), ``radius`` those of the objects (B, 1, 1).
    """
    along, across = turn(away[:, 0], away[:, 1], source.uniform(0, 2 * math.pi, 1, 1))
    aspects = torch.tensor([shape.aspect for shape in SHAPES])
    stretch = (aspects[kind] * source.uniform(0.85, 1.15)).sqrt()[:, None, None]
    along, across = along / stretch, across * stretch
    angle = torch.atan2(along, across)
    sample = ((angle / (2 * math.pi) + 0.5) * N_ANGLES).long().clamp_(0, N_ANGLES - 1)
    contour = _draw_contours(source, kind).gather(1, sample.flatten(1)).view_as(along)
    return torch.hypot(along, across) / (contour * radius)


def turn(
    y: torch.Tensor, x: torch.Tensor, angle: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the coordinates along and across a direction."""
    return y * angle.cos() + x * angle.sin(), x * angle.cos() - y * angle.sin()


def _draw_contours(source: RandomSource, kind: torch.Tensor) -> torch.Tensor:
    """Return r(angle) of each object (B, `N_ANGLES`), about 1."""
    strength = torch.zeros(len(SHAPES), N_ORDERS)
    for row, shape in enumerate(SHAPES):
        strength[row, list(shape.harmonics)] = shape.amplitude
    notches = torch.tensor([shape.notch for shape in SHAPES])
    angles = torch.linspace(-math.pi, math.pi, N_ANGLES)
    orders = torch.arange(float(N_ORDERS))
    amplitudes = strength[kind] * source.uniform(0.8, 1.2, N_ORDERS)
    amplitudes = amplitudes + 0.03 * source.normal(N_ORDERS) / (1 + orders)
    phases = source.uniform(0, 2 * math.pi, N_ORDERS)
    waves = (orders[:, None] * angles + phases[:, :, None]).cos()  # (B, orders, angles)
    contour = 1 + (amplitudes[:, :, None] * waves).sum(dim=1)
    notch = notches[kind] * source.uniform(0.8, 1.2)
    return (contour * (1 - notch[:, None] * torch.exp(-((angles / 0.5) ** 2)))).clamp_min(0.15)


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
