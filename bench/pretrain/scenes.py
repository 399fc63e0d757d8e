"""Scenes drawn from formulas: layers of closed contours that hide each other, with procedural textures.

In the spirit of the dead-leaves model (Lee, Mumford & Huang, IJCV 2001) and of pre-training on
auto-generated contours (Kataoka et al., CVPR 2022, arXiv 2206.09132). A scene has fewer looks than
objects, so shapes share intensities, and what a pixel belongs to can only be told from its
neighbourhood. Everything is vectorised over the scenes of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

N_CHANNELS = 3
N_LOOKS = 6  # per scene
N_OBJECTS = 12  # per scene, at most
N_ANGLES = 256  # samples of a contour
MIN_RADIUS, MAX_RADIUS = 0.12, 0.55  # a scene spans [-1, 1]
P_NESTED, P_PRESENT, P_BODY = 0.4, 0.85, 0.5
TEXTURES = ("flat", "coarse noise", "fine noise", "stripes", "checks", "dots", "ramp", "rings")


@dataclass(frozen=True)
class ShapeClass:
    """A family of contours r(angle): which harmonics are strong, how long it is, and whether it has a notch."""

    name: str
    harmonics: tuple[int, ...] = ()
    amplitude: float = 0.0
    aspect: float = 1.2
    notch: float = 0.0


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
PLAIN, SHELL, MIDDLE, CORE = 1, 2, 3, 4  # parts of an object; 0 is what lies behind all objects
N_PARTS = 5


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes of H x W pixels and what is known about each pixel."""

    image: torch.Tensor  # float32 (B, 3, H, W), blurred, biased, noisy, z-scored
    clean: torch.Tensor  # float32 (B, 3, H, W), on the same scale
    shape: torch.Tensor  # int64 (B, H, W): 0 behind, 1.. the shape class of the topmost object
    part: torch.Tensor  # int64 (B, H, W): 0 behind, PLAIN, or the layer of a nested object
    texture: torch.Tensor  # int64 (B, H, W)
    boundary: torch.Tensor  # float32 (B, H, W): 1 where a neighbour belongs to something else
    offset: (
        torch.Tensor
    )  # float32 (B, 3, H, W): to the object's centre (y, x), in radii, and its log radius; 0 behind


@dataclass(frozen=True)
class Dice:
    """Random numbers of one generator."""

    generator: torch.Generator

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Return float32 numbers drawn evenly."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        """Return float32 numbers of mean 0 and deviation 1."""
        return torch.randn(shape, generator=self.generator)

    def integers(self, end: int, *shape: int) -> torch.Tensor:
        """Return int64 numbers below ``end``."""
        return torch.randint(end, shape, generator=self.generator)

    def smooth(self, count: int, channels: int, cells: int, size: int) -> torch.Tensor:
        """Return interpolated noise (count, channels, size, size) of deviation about 1 with ``cells`` nodes a side."""
        coarse = self.normal(count, channels, cells, cells)
        field = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
        return field / field.std(dim=(2, 3), keepdim=True).clamp_min(1e-3)


def render_scenes(generator: torch.Generator, count: int, size: int, nested: bool = True) -> Scenes:
    """Return ``count`` scenes of ``size`` x ``size`` pixels.

    ``nested`` lets some objects have a shell, a middle and a core of different looks around each
    other.
    """
    dice = Dice(generator)
    axis = torch.linspace(-1, 1, size)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))  # (2, H, W): y, x
    look = (dice.smooth(count, 1, 6, size)[:, 0] > 0).long()  # two looks lie behind all objects
    maps = {
        "look": look,
        "shape": torch.zeros_like(look),
        "part": torch.zeros_like(look),
        "index": torch.zeros_like(look),
    }
    offset = torch.zeros(count, 3, size, size)
    radii = dice.uniform(math.log(MIN_RADIUS), math.log(MAX_RADIUS), count, N_OBJECTS).exp()
    radii = radii.sort(dim=1, descending=True).values  # small ones lie on top
    for number in range(N_OBJECTS):
        maps, offset = _paint_object(dice, grid, maps, offset, radii[:, number], number + 1, nested)
    texture_of_look = dice.integers(len(TEXTURES), count, N_LOOKS)
    image = _colour(dice, grid, maps["look"], texture_of_look)
    body = _draw_bodies(dice, grid, count)
    maps = {name: value * body for name, value in maps.items()}
    clean, image = _photograph(dice, image * body[:, None], size)
    return Scenes(
        image=image,
        clean=clean,
        shape=maps["shape"],
        part=maps["part"],
        texture=texture_of_look.gather(1, maps["look"].flatten(1)).view_as(look) * body,
        boundary=_find_boundaries(maps["index"] * N_PARTS + maps["part"] + (1 - body) * 1000),
        offset=offset * body[:, None],
    )


def _paint_object(
    dice: Dice,
    grid: torch.Tensor,
    maps: dict[str, torch.Tensor],
    offset: torch.Tensor,
    radius: torch.Tensor,
    index: int,
    nested: bool,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the maps with one more object on top of each scene; in some scenes it is left out."""
    count = len(radius)
    kind = dice.integers(len(SHAPES), count)
    centre = dice.uniform(-0.9, 0.9, count, 2)
    level, away = _draw_level(dice, grid, kind, centre, radius)
    present = (dice.uniform(0, 1, count) < P_PRESENT)[:, None, None]
    inside = (level < 1) & present
    looks = dice.integers(N_LOOKS, count, 3)
    part = torch.full_like(maps["part"], PLAIN)
    look = looks[:, 0, None, None].expand_as(part)
    n_layers = (
        (dice.uniform(0, 1, count) < P_NESTED).long() * (1 + dice.integers(2, count)) * int(nested)
    )
    bounds = torch.stack([dice.uniform(0.55, 0.8, count), dice.uniform(0.3, 0.5, count)], dim=1)
    part = torch.where((n_layers > 0)[:, None, None], SHELL, part)
    for layer, name in enumerate((MIDDLE, CORE)):
        within = (level < bounds[:, layer, None, None]) & (n_layers > layer)[:, None, None]
        part = torch.where(within, name, part)
        look = torch.where(within, looks[:, layer + 1, None, None], look)
    size = radius.log()[:, None, None, None].expand(-1, 1, *grid.shape[1:])
    placed = torch.cat([away / radius[:, None, None, None], size - math.log(MIN_RADIUS)], dim=1)
    new = {"look": look, "shape": (kind + 1)[:, None, None].expand_as(part), "part": part}
    new["index"] = torch.full_like(part, index)
    painted = {name: torch.where(inside, new[name], maps[name]) for name in maps}
    return painted, torch.where(inside[:, None], placed, offset)


def _draw_level(
    dice: Dice, grid: torch.Tensor, kind: torch.Tensor, centre: torch.Tensor, radius: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the level of each pixel (B, H, W), below 1 inside the contour, and its way to the centre (B, 2, H, W)."""
    count = len(kind)
    away = centre[:, :, None, None] - grid
    turn = dice.uniform(0, 2 * math.pi, count)[:, None, None]
    along = away[:, 0] * turn.cos() + away[:, 1] * turn.sin()
    across = away[:, 1] * turn.cos() - away[:, 0] * turn.sin()
    aspect = torch.tensor([shape.aspect for shape in SHAPES])[kind] * dice.uniform(
        0.85, 1.15, count
    )
    stretch = aspect.sqrt()[:, None, None]
    along, across = along / stretch, across * stretch
    angle = torch.atan2(along, across)
    sample = ((angle / (2 * math.pi) + 0.5) * N_ANGLES).long().clamp_(0, N_ANGLES - 1)
    contour = _draw_contours(dice, kind).gather(1, sample.flatten(1)).view_as(along)
    return torch.hypot(along, across) / (contour * radius[:, None, None]), away


def _draw_contours(dice: Dice, kind: torch.Tensor) -> torch.Tensor:
    """Return r(angle) of each object (B, `N_ANGLES`), about 1."""
    count, angles = len(kind), torch.linspace(-math.pi, math.pi, N_ANGLES)
    strength = torch.zeros(len(SHAPES), 8)
    for row, shape in enumerate(SHAPES):
        strength[row, list(shape.harmonics)] = shape.amplitude
    orders = torch.arange(8.0)
    amplitudes = strength[kind] * dice.uniform(0.8, 1.2, count, 8) + 0.03 * dice.normal(
        count, 8
    ) / (1 + orders)
    phases = dice.uniform(0, 2 * math.pi, count, 8)
    waves = (orders[:, None] * angles + phases[:, :, None]).cos()  # (B, 8, angles)
    contour = 1 + (amplitudes[:, :, None] * waves).sum(dim=1)
    notch = torch.tensor([shape.notch for shape in SHAPES])[kind] * dice.uniform(0.8, 1.2, count)
    return (contour * (1 - notch[:, None] * torch.exp(-((angles / 0.5) ** 2)))).clamp_min(0.15)


def _colour(
    dice: Dice, grid: torch.Tensor, look: torch.Tensor, texture_of_look: torch.Tensor
) -> torch.Tensor:
    """Return the clean image (B, 3, H, W): each look has a mean and a strength of its texture in each channel."""
    count, size = len(look), look.shape[-1]
    textures = _draw_textures(dice, grid, count)  # (B, T, H, W)
    texture = textures.gather(
        1, texture_of_look.gather(1, look.flatten(1)).view(count, 1, size, size)
    )
    means = dice.uniform(0.2, 2.0, count, N_LOOKS, N_CHANNELS)
    strengths = dice.uniform(0.05, 0.3, count, N_LOOKS, N_CHANNELS)
    flat = look.flatten(1)[:, :, None].expand(-1, -1, N_CHANNELS)

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, flat).transpose(1, 2).reshape(count, N_CHANNELS, size, size)

    return spread(means) + spread(strengths) * texture


def _draw_textures(dice: Dice, grid: torch.Tensor, count: int) -> torch.Tensor:
    """Return a field of each texture (B, T, H, W), in the order of `TEXTURES`, of deviation about 1."""
    size = grid.shape[-1]
    turn = dice.uniform(0, 2 * math.pi, count)[:, None, None]
    along = grid[0] * turn.cos() + grid[1] * turn.sin()
    across = grid[1] * turn.cos() - grid[0] * turn.sin()
    pitch = dice.uniform(12, 25, count)[:, None, None]
    stripes, crossing = (pitch * along).sin(), (pitch * across).sin()
    fields = [
        torch.zeros(count, size, size),
        dice.smooth(count, 1, 8, size)[:, 0],
        dice.smooth(count, 1, 24, size)[:, 0],
        1.4 * stripes,
        (stripes * crossing).sign(),
        2.5 * ((stripes > 0.3) & (crossing > 0.3)).float() - 0.5,
        1.7 * along,
        1.4 * (pitch * torch.hypot(along, across)).sin(),
    ]
    return torch.stack(fields, dim=1)


def _draw_bodies(dice: Dice, grid: torch.Tensor, count: int) -> torch.Tensor:
    """Return int64 (B, H, W): 0 outside a body that some scenes have, else 1."""
    radii = dice.uniform(0.75, 1.1, count, 2)[:, :, None, None]
    outside = ((grid / radii) ** 2).sum(dim=1) > 1
    return 1 - (outside & (dice.uniform(0, 1, count) < P_BODY)[:, None, None]).long()


def _photograph(dice: Dice, clean: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the clean image and its blurred, biased, noisy picture, both z-scored by the picture's numbers."""
    count = len(clean)
    share = dice.uniform(0, 1, count)[:, None, None, None]
    picture = torch.lerp(clean, F.avg_pool2d(clean, 3, stride=1, padding=1), share)
    picture = picture * (1 + 0.12 * dice.smooth(count, 1, 3, size))
    picture = picture + dice.uniform(0.02, 0.2, count)[:, None, None, None] * dice.normal(
        *picture.shape
    )
    mean, deviation = picture.mean(dim=(2, 3), keepdim=True), picture.std(dim=(2, 3), keepdim=True)
    return (clean - mean) / deviation, (picture - mean) / deviation


def _find_boundaries(index: torch.Tensor) -> torch.Tensor:
    """Return float32 (B, H, W): 1 where the pixel below or to the right has another number."""
    edge = torch.zeros(index.shape)
    edge[:, :-1] += (index[:, 1:] != index[:, :-1]).float()
    edge[:, :, :-1] += (index[:, :, 1:] != index[:, :, :-1]).float()
    return edge.clamp_max(1)
