"""How many parameters each method trains on a backbone: networks are built without memory, on torch's meta device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

import methods
from bench.cost.measure import count_parameters
from bench.models import registry
from bench.models.segmenter import Segmenter, apply_method, build_segmenter
from methods.base import Method, MissingRole


@dataclass(frozen=True)
class Setting:
    """The network and the data that a count is for; ``patch`` is (D, H, W) in voxels.

    The defaults are BraTS's channels and classes and the patch of Med-Tuning.
    """

    backbone: str
    patch: tuple[int, int, int] = (128, 128, 128)
    channels: int = 4
    classes: int = 4
    also_train: str = "decoder"  # as `model.also_train` of the protocol

    def __post_init__(self) -> None:
        """Raises: ValueError if the backbone does not exist or does not take such a patch."""
        if min(self.patch) < 1:
            raise ValueError(f"patch: sizes must be >= 1, got {','.join(map(str, self.patch))}")
        registry.check_fit(self.backbone, "none", self.patch[1:])


@dataclass(frozen=True)
class Parts:
    """Trained parameters by part; ``other`` is what the protocol trains of the backbone beside every method."""

    method: int
    decoder: int
    other: int


@dataclass(frozen=True)
class MethodCount:
    """A method with its default settings on one backbone."""

    name: str
    title: str
    paper: str
    url: str
    mergeable: bool
    identity_at_step_0: bool
    total: int | None  # None where the backbone cannot host the method; ``reason`` says why
    trained: int | None
    trained_by_part: Parts | None
    reason: str | None


def read_setting(
    backbone: str,
    patch: str | None,
    channels: int | None,
    classes: int | None,
    also_train: str | None,
) -> Setting:
    """Return the setting that a user has typed; None stands for the default.

    Raises: ValueError with one sentence for the user.
    """
    given: dict[str, Any] = {"channels": channels, "classes": classes, "also_train": also_train}
    if patch is not None:
        try:
            depth, height, width = (int(size) for size in patch.split(","))
        except ValueError:
            raise ValueError(f"--patch: must be three integers D,H,W, got '{patch}'") from None
        given["patch"] = (depth, height, width)
    return Setting(backbone, **{key: value for key, value in given.items() if value is not None})


def count_methods(setting: Setting) -> list[MethodCount]:
    """Return the counts of all methods, in the order in which tables show them.

    Raises: ValueError if a method's default settings do not fit the backbone.
    """
    return [_count(methods.build(name), setting) for name in methods.names()]


def _count(method: Method, setting: Setting) -> MethodCount:
    total = trained = parts = reason = None
    model = build_outline(setting)
    try:
        total, trained, parts = _apply_and_count(method, model, setting.also_train)
    except MissingRole as error:
        reason = str(error)
    return MethodCount(
        name=method.info.name,
        title=method.info.title,
        paper=method.info.paper,
        url=method.info.url,
        mergeable=method.info.mergeable,
        identity_at_step_0=method.starts_as_identity(),
        total=total,
        trained=trained,
        trained_by_part=parts,
        reason=reason,
    )


def build_outline(setting: Setting) -> Segmenter:
    """Return the network without numbers in it, and without a method."""
    with torch.device("meta"):
        return build_segmenter(
            setting.backbone,
            "none",
            in_channels=setting.channels,
            n_classes=setting.classes,
            patch=setting.patch,
            seed=0,
        )


def _apply_and_count(method: Method, model: Segmenter, also_train: str) -> tuple[int, int, Parts]:
    """Return total, trained and its parts; the method's own part is its closed form, checked against the network."""
    expected = method.expected_tuned(model.backbone)
    before = {id(parameter) for parameter in model.backbone.parameters()}
    with torch.device("meta"):
        apply_method(model, method, seed=0, also_train=also_train)
    own = [
        parameter.numel()
        for parameter in model.tuned_parameters().values()
        if method.info.tunes_backbone or id(parameter) not in before
    ]
    assert sum(own) == expected, (
        f"{method.info.name}: trains {sum(own)}, its closed form says {expected}"
    )
    counts = count_parameters(model)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return (
        counts.total,
        trained,
        Parts(expected, counts.decoder, trained - counts.decoder - expected),
    )
