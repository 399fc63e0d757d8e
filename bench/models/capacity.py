"""Methods of equal size: the capacity at which each trains as many parameters as asked for."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from bench.models import registry
from bench.models.backbones.base import Backbone
from bench.models.backbones.info import Blueprint
from bench.models.build import Patch, build_random
from methods.base import Method, apply
from methods.settings import SpecError

# settings that decide a method's size; the first that it has is chosen, the others stay
CAPACITIES = ("share", "bottleneck", "ratio", "rank", "n_prompts", "per_neuron")
CAPACITIES_OF_PEFT = ("r", "init_r", "n_frequency")
POWERS = tuple(2**exponent for exponent in range(13))
LARGEST = POWERS[-1]  # of a capacity that is a number of something
DIGITS = 6  # of a share
REACH = 4  # around the nearest number, where others may divide what it does not
UNITS = {"": 1, "k": 1e3, "M": 1e6}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([kM]?)")


@dataclass(frozen=True)
class Matched:
    """A method with its capacity chosen, and how many parameters it trains in the backbone."""

    method: Method
    capacity: str | None  # the setting that was chosen; None: the method has no such setting
    n_tuned: int


def read_amount(text: str) -> int:
    """Return the number in a text such as 0.3M, 300k or 300000. Raises: SpecError."""
    match = AMOUNT.fullmatch(text)
    amount = round(float(match[1]) * UNITS[match[2]]) if match else 0
    if amount < 1:
        raise SpecError(f"--match-params: must be a number such as 0.3M or 300k, got '{text}'")
    return amount


def find_capacity(method: Method) -> str | None:
    """Return the setting that decides a method's size; None if there is none."""
    known = {item.name for item in fields(method)}
    return next((name for name in CAPACITIES + CAPACITIES_OF_PEFT if name in known), None)


@dataclass(frozen=True)
class Sizes:
    """How many parameters a method trains in a backbone, by the value of a setting."""

    method: Method
    name: str  # of the setting
    outline: Backbone  # without numbers

    def set(self, value: float) -> Method:
        """Return the method with a value. Raises: ValueError if it must not be."""
        changed: dict[str, Any] = {self.name: value}
        return replace(self.method, **changed)

    def count(self, value: int) -> int | None:
        """Return the size at a value; None if the method refuses it."""
        try:
            return self.set(value).expected_tuned(self.outline)
        except ValueError:
            return None

    def fits(self, value: int) -> bool:
        """Return whether the method with a value goes into the backbone."""
        try:
            with torch.device("meta"):
                apply(self.set(value), copy.deepcopy(self.outline))
        except ValueError:
            return False
        except (RuntimeError, TypeError):  # a method that looks at numbers
            return True
        return True


def outline_backbone(blueprint: Blueprint, in_channels: int, patch: Patch) -> Backbone:
    """Return a backbone without numbers, in the form that its weights need.

    Raises: ValueError if a name or the patch does not fit.
    """
    name, weights = blueprint.backbone, blueprint.weights
    registry.check_fit(name, weights, patch[1:])
    with torch.device("meta"):
        outline = build_random(name, in_channels, patch[1:], weights, blueprint.prefix_tokens)
    outline.volume.depth = patch[0]
    return outline


def match_capacity(method: Method, amount: int, outline: Backbone) -> Matched:
    """Return the method with the capacity whose closed form is nearest to an amount.

    That is the nearest of those that it takes in this backbone: a rank is at most the width.
    Raises: MissingRole or ValueError if a setting does not fit; SpecError if the amount is above
    the number of the backbone's parameters.
    """
    whole = sum(parameter.numel() for parameter in outline.parameters())
    if amount > whole:
        rule = f"must be at most {whole:,}, the parameters of {outline.name}"
        raise SpecError(f"--match-params: {rule}, got {amount:,}")
    name = find_capacity(method)
    if name is None:
        return Matched(method, None, method.expected_tuned(outline))
    sizes = Sizes(method, name, outline)
    if isinstance(getattr(method, name), float):  # a share of all
        chosen = sizes.set(float(f"{amount / whole:.{DIGITS}g}"))
    elif sizes.count(2) == sizes.count(LARGEST):  # it is a matter of other settings
        return Matched(method, None, method.expected_tuned(outline))
    else:
        chosen = sizes.set(_move_in(sizes, _search(sizes.count, amount), amount))
    return Matched(chosen, name, chosen.expected_tuned(outline))


def _search(count: Callable[[int], int | None], amount: int) -> int:
    """Return the whole number whose count is nearest; counts rise or fall with the number."""
    counts = {value: count(value) for value in (3, *POWERS)}
    found = {value: size for value, size in counts.items() if size is not None}
    rises = found[max(found)] > found[min(found)]
    low, high = 1, LARGEST
    while high - low > 4:
        middle = (low + high) // 2
        size = next(filter(None, map(count, range(middle, high))), None)
        is_above = size is not None and size > amount
        low, high = (low, middle) if is_above == rises else (middle, high)
    near = {value: count(value) for value in range(max(1, low - 4), min(LARGEST, high + 4) + 1)}
    kept = {value: size for value, size in near.items() if size is not None}
    return _lower(count, min(kept, key=lambda value: abs(kept[value] - amount)))


def _lower(count: Callable[[int], int | None], value: int) -> int:
    """Return the smallest number with the count of ``value``: above some rank, counts may stay."""
    size, low, high = count(value), 0, value
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count(middle) == size else (middle, high)
    return high


def _move_in(sizes: Sizes, value: int, amount: int) -> int:
    """Return a value, or else one near to it, or else towards the default, that fits."""
    counts = {each: sizes.count(each) for each in range(max(1, value - REACH), value + REACH + 1)}
    distances = {each: abs(size - amount) for each, size in counts.items() if size is not None}
    for near in [value, *sorted(distances, key=lambda each: distances[each])]:
        if sizes.fits(near):
            return near
    fitting, refused = int(getattr(sizes.method, sizes.name)), value
    while abs(refused - fitting) > 1:
        middle = (fitting + refused) // 2
        fitting, refused = (middle, refused) if sizes.fits(middle) else (fitting, middle)
    return fitting
