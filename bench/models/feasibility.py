"""Whether a method fits a network, found out on torch's meta device: no computing, no memory."""

import re
from dataclasses import dataclass

import torch

from bench.models.backbones.base import Backbone
from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_segmenter
from bench.models.references.base import Reference, Task
from bench.models.references.network import build_network
from bench.models.segmenter import Segmenter, apply_method
from methods.base import Contender, Method, MissingRole

CHANNELS, CLASSES = 3, 2  # of the outline; no method depends on them
FEW_SLICES = 4  # a batch norm over more of them has more than one value a channel
MOST = 10  # times the backbone's parameters that a method may train; more is a slip
SINGLE = re.compile(r"Expected more than 1 (value per channel|spatial element) when training")
HINTS = {
    "value per channel": "take a deeper data.patch, or a train.batch of 2 or more that divides "
    "data.patches_per_epoch",
    "spatial element": "take a larger data.patch",
}


@dataclass(frozen=True)
class Outline:
    """The network that methods are put into, and the smallest batch that trains it."""

    blueprint: Blueprint  # with random weights
    patch: Patch
    smallest_batch: int  # patches
    spacing_mm: tuple[float, float, float] | None = None
    also_train: str = "decoder"  # as `model.also_train` of the protocol
    backbone_mode: str = "eval"


def check_fit(contender: Contender, outline: Outline) -> None:
    """Build the network and, where a norm may lack values, carry out a forward pass of training.

    A backbone without a place for a method is no error: that run ends as skipped, with the reason.
    Raises: ValueError with the method's own sentence if a setting does not fit, if it trains far
    more than the backbone holds, or if the smallest batch has one value for a norm; anything that
    a method cannot do on the meta device.
    """
    try:
        with torch.device("meta"):
            model = _build(contender, outline)
    except MissingRole:
        return
    except ValueError:  # maybe of a method that looks at numbers, which are none here
        _build(contender, outline)
        return
    if _may_lack_values(contender, outline):
        _check_norms(contender.info.name, model, outline)


def _build(contender: Contender, outline: Outline) -> Segmenter:
    patch = outline.patch
    if isinstance(contender, Reference):
        return build_network(contender, Task(CHANNELS, CLASSES, patch, outline.spacing_mm), seed=0)
    assert isinstance(contender, Method)
    model = build_segmenter(
        outline.blueprint, in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
    )
    _check_size(contender, model.backbone)
    also_train, mode = outline.also_train, outline.backbone_mode
    apply_method(model, contender, seed=0, also_train=also_train, backbone_mode=mode)
    return model


def _check_size(method: Method, backbone: Backbone) -> None:
    """Raise ValueError for a number such as a rank of a million, before it is built."""
    if not {*method.needed_roles()} <= {site.role for site in backbone.sites}:
        return
    whole = sum(parameter.numel() for parameter in backbone.parameters())
    expected = method.expected_tuned(backbone)
    if expected > MOST * whole:
        rule = f"must train at most {MOST} times the {whole:,} parameters of {backbone.name}"
        raise ValueError(f"{method.info.name}: {rule}, got {expected:,} (a slip in a setting?)")


def _may_lack_values(contender: Contender, outline: Outline) -> bool:
    few = outline.smallest_batch * outline.patch[0] <= FEW_SLICES
    is_ours = type(contender).__module__.startswith("methods.")
    return few or not is_ours


def _check_norms(name: str, model: Segmenter, outline: Outline) -> None:
    volume = torch.empty(outline.smallest_batch, CHANNELS, *outline.patch, device="meta")
    try:
        with torch.device("meta"):
            model.train()(volume)
    except ValueError as error:
        found = SINGLE.search(str(error))
        if found is None:
            raise
        size = "x".join(map(str, outline.patch))
        got = f"one from the smallest batch ({outline.smallest_batch} of {size} voxels)"
        rule = f"a norm must have more than one {found[1]}"
        raise ValueError(f"{name}: {rule}, got {got} ({HINTS[found[1]]})") from None
