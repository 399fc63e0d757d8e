"""The option --match-params: the capacity of each method is chosen for one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import methods
from bench.models.backbones.info import Blueprint
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import MethodSpec

if TYPE_CHECKING:  # import torch
    from bench.models.backbones.base import Backbone
    from bench.models.capacity import Matched
    from methods.base import Method


@dataclass(frozen=True)
class Group:
    """Data sets with one number of channels, and the backbone that reads them."""

    names: tuple[str, ...]
    n_channels: int
    outline: Backbone

    def __str__(self) -> str:
        plural = "" if self.n_channels == 1 else "s"
        return f"{', '.join(self.names)} ({self.n_channels} channel{plural})"


def match_sizes(
    asked: Sequence[MethodSpec], text: str, protocol: Protocol, roots: Mapping[str, Path]
) -> tuple[list[MethodSpec], list[str]]:
    """Return the methods with their capacities chosen for one size, and what to print of each.

    Sizes are those in the backbone that reads the channels of the data sets ``roots``. Raises:
    SpecError if a capacity is given, or would have to differ between the data sets.
    """
    from bench.models.capacity import read_amount
    from methods.base import Method

    amount = read_amount(text)
    if all(spec.is_reference for spec in asked):  # the patch may fit no backbone
        return [*asked], []
    groups = _group_by_channels(roots, protocol)
    found, notes = [], []
    for spec in asked:
        method = spec.build()
        matched = _match(spec, method, amount, groups) if isinstance(method, Method) else []
        if not matched:
            found.append(spec)
            continue
        found.append(_choose_one(spec, matched, groups))
        for size in _describe_sizes(matched, groups, amount):
            notes.append(f"--match-params {text}: {spec.name}: {size}")
    return found, notes


def _group_by_channels(roots: Mapping[str, Path], protocol: Protocol) -> list[Group]:
    from bench.models.capacity import outline_backbone

    names: dict[int, list[str]] = {}
    for name, root in roots.items():
        names.setdefault(datasets.count_channels(name, root), []).append(name)
    model = protocol.model
    blueprint = Blueprint(model.backbone, model.weights, prefix_tokens=model.prefix_tokens)
    groups = []
    for n_channels, members in names.items():
        outline = outline_backbone(blueprint, n_channels, protocol.data.patch)
        groups.append(Group(tuple(members), n_channels, outline))
    return groups


def _match(spec: MethodSpec, method: Method, amount: int, groups: Sequence[Group]) -> list[Matched]:
    """Return the method as it fits each group; nothing if the backbone cannot host it."""
    from bench.models.capacity import find_capacity, match_capacity
    from methods.base import MissingRole

    name = find_capacity(method)
    if name in dict(spec.settings):
        raise SpecError(f"--match-params: it chooses {spec.name}'s {name}, got '{spec}'")
    try:
        return [match_capacity(method, amount, group.outline) for group in groups]
    except MissingRole:  # its run ends as skipped, with the reason
        return []


def _choose_one(
    spec: MethodSpec, matched: Sequence[Matched], groups: Sequence[Group]
) -> MethodSpec:
    """Return the method with its capacity. Raises: SpecError if the groups need several."""
    if len({each.method for each in matched}) > 1:
        values = [
            f"{getattr(each.method, str(each.capacity))} for {group}"
            for each, group in zip(matched, groups, strict=True)
        ]
        rule = f"{spec.name}'s {matched[0].capacity} must be one value in all data sets"
        hint = "give a command for each"
        raise SpecError(f"--match-params: {rule}, got {' and '.join(values)} ({hint})")
    return MethodSpec(spec.name, methods.changed_settings(matched[0].method))


def _describe_sizes(matched: Sequence[Matched], groups: Sequence[Group], amount: int) -> list[str]:
    """Return the size of a method, or one line for each group where they differ."""
    lines = []
    for each, group in zip(matched, groups, strict=True):
        name = each.capacity
        chosen = f"{name}={getattr(each.method, name)}" if name else "no capacity to choose"
        size = f"{each.n_tuned:,} parameters, {(each.n_tuned - amount) / amount:+.1%}"
        lines.append((f"{chosen}, {size}", f" in {group}"))
    if len({line for line, _ in lines}) == 1:
        return [lines[0][0]]
    return [line + where for line, where in lines]
