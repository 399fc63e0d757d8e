"""Scenes drawn from formulas: layers of closed contours that hide each other, with textures.

In the spirit of the dead-leaves model (Lee, Mumford & Huang, IJCV 2001) and of auto-generated
contours (Kataoka et al., CVPR 2022, arXiv 2206.09132). A scene has fewer looks than objects, so
only its neighbourhood shows what a pixel belongs to.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bench.pretrain.contours import SHAPES, draw_level, turn
from bench.pretrain.random_source import N_CHANNELS, RandomSource, z_score

N_LOOKS = 6  # per scene
N_OBJECTS = 12  # per scene, at most
MIN_RADIUS, MAX_RADIUS = 0.12, 0.55  # a scene spans [-1, 1]
P_NESTED, P_PRESENT, P_BODY = 0.4, 0.85, 0.5
TEXTURES = ("flat", "coarse noise", "fine noise", "stripes", "checks", "dots", "ramp", "rings")
PLAIN, SHELL, MIDDLE, CORE = 1, 2, 3, 4  # parts of an object; 0 is the ground behind all objects
N_PARTS = 5
Maps = dict[str, torch.Tensor]  # what is known of each pixel, (B, C, H, W)


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes of H x W pixels and what is known about each pixel."""

    image: torch.Tensor  # float32 (B, 3, H, W), blurred, biased, noisy, z-scored
    clean: torch.Tensor  # float32 (B, 3, H, W), on the same scale
    shape: torch.Tensor  # int64 (B, H, W): 0 behind, 1.. the shape class of the topmost object
    part: torch.Tensor  # int64 (B, H, W): 0 behind, PLAIN, or the layer of a nested object
    texture: torch.Tensor  # int64 (B, H, W)
    boundary: torch.Tensor  # float32 (B, H, W): 1 where a neighbour belongs to something else
    # float32 (B, 3, H, W): to the object's centre (y, x), in radii, and its log radius; 0 behind
    offset: torch.Tensor


def render_scenes(generator: torch.Generator, count: int, size: int, nested: bool = True) -> Scenes:
    """Return scenes; ``nested`` gives some objects a shell, a middle and a core of own looks."""
    source = RandomSource(generator, count, size)
    maps = _draw_objects(source, nested)
    look = maps["look"][:, 0]
    texture = source.integers(len(TEXTURES), N_LOOKS).gather(1, look.flatten(1)).view_as(look)
    image = _colour(source, look, texture)
    body = _draw_bodies(source)  # (B, 1, H, W)
    clean, image = add_noise(source, image * body)
    maps = {name: values * body for name, values in maps.items()}
    layers = maps["index"] * N_PARTS + maps["part"] + (1 - body) * 1000
    shape, part = maps["shape"][:, 0], maps["part"][:, 0]
    boundary = _find_boundaries(layers[:, 0])
    return Scenes(image, clean, shape, part, texture * body[:, 0], boundary, maps["offset"])


def _draw_objects(source: RandomSource, nested: bool) -> Maps:
    """Return the looks and what is known of each pixel, with objects on top of each other."""
    look = (source.smooth(1, 6) > 0).long()  # two looks are behind all objects
    maps = {"look": look, "offset": torch.zeros(source.count, 3, source.size, source.size)}
    for name in ("shape", "part", "index"):
        maps[name] = torch.zeros_like(look)
    radii = source.uniform(math.log(MIN_RADIUS), math.log(MAX_RADIUS), N_OBJECTS).exp()
    radii = radii.sort(dim=1, descending=True).values  # small ones are on top
    for number in range(N_OBJECTS):
        inside, drawn = _draw_object(source, radii[:, number, None, None], nested)
        drawn["index"] = torch.full_like(look, number + 1)
        for name in maps:
            maps[name] = torch.where(inside, drawn[name], maps[name])
    return maps


def _draw_object(
    source: RandomSource, radius: torch.Tensor, nested: bool
) -> tuple[torch.Tensor, Maps]:
    """Return where the next object of each scene is (B, 1, H, W), and its maps; some have none."""
    kind = source.integers(len(SHAPES))
    away = source.uniform(-0.9, 0.9, 2, 1, 1) - source.grid
    level = draw_level(source, kind, away, radius)[:, None]
    present = source.uniform(0, 1, 1, 1, 1) < P_PRESENT
    looks = source.integers(N_LOOKS, 3, 1, 1)
    has_layers = source.uniform(0, 1, 1, 1, 1) < P_NESTED
    n_layers = has_layers.long() * (1 + source.integers(2, 1, 1, 1)) * int(nested)
    bounds = (source.uniform(0.55, 0.8, 1, 1, 1), source.uniform(0.3, 0.5, 1, 1, 1))
    part = torch.where(n_layers > 0, SHELL, torch.full_like(level, PLAIN, dtype=torch.int64))
    look = looks[:, :1].expand_as(part)
    for layer, name in enumerate((MIDDLE, CORE)):
        within = (level < bounds[layer]) & (n_layers > layer)
        part = torch.where(within, name, part)
        look = torch.where(within, looks[:, layer + 1, None], look)
    radius = radius[:, None]
    size = (radius.log() - math.log(MIN_RADIUS)).expand_as(level)
    return (level < 1) & present, {
        "look": look,
        "part": part,
        "shape": (kind + 1)[:, None, None, None].expand_as(part),
        "offset": torch.cat([away / radius, size], dim=1),
    }


def _colour(source: RandomSource, look: torch.Tensor, texture: torch.Tensor) -> torch.Tensor:
    """Return the clean image (B, 3, H, W): each look has a mean and a strength of its texture."""
    pattern = _draw_textures(source).gather(1, texture[:, None])
    means = source.uniform(0.2, 2.0, N_LOOKS, N_CHANNELS)
    strengths = source.uniform(0.05, 0.3, N_LOOKS, N_CHANNELS)
    flat = look.flatten(1)[:, :, None].expand(-1, -1, N_CHANNELS)

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, flat).transpose(1, 2).reshape(-1, N_CHANNELS, *look.shape[1:])

    return spread(means) + spread(strengths) * pattern


def _draw_textures(source: RandomSource) -> torch.Tensor:
    """Return a field of deviation about 1 of each of `TEXTURES`, in their order (B, T, H, W)."""
    y, x = source.grid
    along, across = turn(y, x, source.uniform(0, 2 * math.pi, 1, 1))
    pitch = source.uniform(12, 25, 1, 1)
    stripes = (pitch * along).sin()
    crossing = (pitch * across).sin()
    fields = [
        torch.zeros_like(along),
        source.smooth(1, 8)[:, 0],
        source.smooth(1, 24)[:, 0],
        1.4 * stripes,
        (stripes * crossing).sign(),
        2.5 * ((stripes > 0.3) & (crossing > 0.3)).float() - 0.5,
        1.7 * along,
        1.4 * (pitch * torch.hypot(along, across)).sin(),
    ]
    return torch.stack(fields, dim=1)


def _draw_bodies(source: RandomSource) -> torch.Tensor:
    """Return int64 (B, 1, H, W): 0 outside a body that some scenes have, else 1."""
    radii = source.uniform(0.75, 1.1, 2, 1, 1)
    outside = ((source.grid / radii) ** 2).sum(dim=1, keepdim=True) > 1
    return 1 - (outside & (source.uniform(0, 1, 1, 1, 1) < P_BODY)).long()


def add_noise(source: RandomSource, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the clean image and a blurred, biased, noisy one, both z-scored by the latter."""
    share = source.uniform(0, 1, 1, 1, 1)
    picture = torch.lerp(clean, F.avg_pool2d(clean, 3, stride=1, padding=1), share)
    picture = picture * (1 + 0.12 * source.smooth(1, 3))
    strength = source.uniform(0.02, 0.2, 1, 1, 1)
    picture = picture + strength * source.normal(*picture.shape[1:])
    return z_score(clean, picture), z_score(picture, picture)


def _find_boundaries(index: torch.Tensor) -> torch.Tensor:
    """Return float32 (B, H, W): 1 where the pixel below or to the right has another number."""
    edge = torch.zeros(index.shape)
    edge[:, :-1] += (index[:, 1:] != index[:, :-1]).float()
    edge[:, :, :-1] += (index[:, :, 1:] != index[:, :, :-1]).float()
    return edge.clamp_max(1)
