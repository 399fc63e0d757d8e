"""How many parameters each method trains on a backbone, counted without memory for them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch

import methods
from bench.cost.measure import count_elements
from bench.models import registry
from bench.models.backbones.info import KEEP, NONE, OWN, TRAIN, Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import Part, Segmenter, apply_method
from methods.base import Method, MissingRole
from methods.settings import read_value


@dataclass(frozen=True)
class NetworkShape:
    """What decides a network's size; by default BraTS's channels, classes, Med-Tuning's patch."""

    backbone: str
    patch: tuple[int, int, int] = (128, 128, 128)  # (D, H, W) in voxels
    channels: int = 4
    classes: int = 4
    also_train: str = "decoder"  # as `model.also_train` of the protocol
    decoder: str = OWN
    prefix_tokens: str = KEEP
    decoder_mode: str = TRAIN

    def __post_init__(self) -> None:
        """Raises: ValueError if the backbone does not exist or does not take such a patch."""
        if min(self.patch) < 1:
            raise ValueError(f"patch: sizes must be >= 1, got {','.join(map(str, self.patch))}")
        registry.check_fit(self.backbone, NONE, self.patch[1:])
        registry.get_decoder(self.blueprint.decoder, self.backbone)

    @property
    def blueprint(self) -> Blueprint:
        """The network with random weights."""
        mode = self.decoder_mode
        return Blueprint(self.backbone, NONE, self.decoder, self.prefix_tokens, decoder_mode=mode)


@dataclass(frozen=True)
class Parts:
    """Trained parameters by part."""

    method: int
    decoder: int
    other: int  # of the backbone, trained by the protocol beside every method


@dataclass(frozen=True)
class MethodCount:
    """A method with its default settings on one backbone."""

    name: str
    title: str
    paper: str
    url: str
    mergeable: bool
    identity_at_step_0: bool
    total: int | None = None  # None where the backbone cannot host the method
    trained: int | None = None
    trained_by_part: Parts | None = None
    reason: str | None = None  # why the backbone cannot host it


def read_network_shape(
    backbone: str, patch: str | None = None, given: Mapping[str, Any] = MappingProxyType({})
) -> NetworkShape:
    """Return the shape that a user typed; None is the default. Raises: ValueError for the user.

    Args:
        backbone: its name.
        patch: D,H,W in voxels.
        given: the other fields of the shape by name.
    """
    typed = {name: value for name, value in given.items() if value is not None}
    if patch is not None:
        typed["patch"] = read_value(patch, tuple[int, int, int], "--patch:")
    return NetworkShape(backbone, **typed)


def count_methods(shape: NetworkShape, names: Sequence[str] = ()) -> list[MethodCount]:
    """Return the counts of methods, by default of all of our own.

    Raises: ValueError if defaults do not fit the backbone.
    """
    return [_count(methods.build(name), shape) for name in names or methods.names()]


def build_outline(shape: NetworkShape) -> Segmenter:
    """Return the network on torch's meta device, without a method; the caller may change it."""
    return deepcopy(_build_outline(shape))


@lru_cache(maxsize=8)
def _build_outline(shape: NetworkShape) -> Segmenter:
    with torch.device("meta"):
        return _build_plain(shape)


def _build_plain(shape: NetworkShape) -> Segmenter:
    return build_segmenter(
        shape.blueprint,
        in_channels=shape.channels,
        n_classes=shape.classes,
        patch=shape.patch,
        seed=0,
    )


def _count(method: Method, shape: NetworkShape) -> MethodCount:
    info = method.info
    count = MethodCount(
        info.name, info.title, info.paper, info.url, info.mergeable, method.starts_as_identity()
    )
    try:
        model = build_outline(shape)
        with torch.device("meta"):
            parts = _apply_and_count(method, model, shape.also_train)
    except MissingRole as error:
        return replace(count, reason=str(error))
    except (RuntimeError, NotImplementedError, TypeError):  # a method that looks at numbers
        model = _build_plain(shape)
        parts = _apply_and_count(method, model, shape.also_train)
    total = count_elements(model.parameters())
    trained = parts.method + parts.decoder + parts.other
    return replace(count, total=total, trained=trained, trained_by_part=parts)


def _apply_and_count(method: Method, model: Segmenter, also_train: str) -> Parts:
    """Return the trained parts; check the method's own part against its closed form."""
    expected = method.expected_tuned(model.backbone)
    apply_method(model, method, seed=0, also_train=also_train)
    other = count_elements(model.also_trained)
    own = count_elements(model.tuned_parameters().values()) - other
    assert own == expected, f"{method.info.name}: trains {own}, its closed form says {expected}"
    return Parts(own, count_elements(model.list_trained()[Part.DECODER]), other)
