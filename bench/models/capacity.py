"""Methods of equal size: the capacity at which each trains as many parameters as asked for."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from bench.models.backbones.info import NONE
from bench.models.build import Patch, build_backbone
from methods.base import Method
from methods.settings import SpecError

# settings that decide a method's size; the first that it has is chosen, the others stay
CAPACITIES = ("share", "bottleneck", "ratio", "rank", "n_prompts", "per_neuron")
LARGEST = 4096  # of a capacity that is a number of something
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
    return next((name for name in CAPACITIES if name in known), None)


def match_capacity(method: Method, amount: int, backbone: str, patch: Patch) -> Matched:
    """Return the method with the capacity whose closed form is nearest to an amount.

    Raises: MissingRole or ValueError if the backbone or a setting does not fit.
    """
    with torch.device("meta"):
        outline = build_backbone(backbone, 3, patch[1:], NONE)
    outline.volume.depth = patch[0]
    name = find_capacity(method)
    if name is None:
        return Matched(method, None, method.expected_tuned(outline))

    def count(value: float) -> int | None:
        """Return the size at a capacity; None if the method refuses it."""
        try:
            return _set(method, name, value).expected_tuned(outline)
        except ValueError:
            return None

    if isinstance(getattr(method, name), float):  # a share
        whole = sum(parameter.numel() for parameter in outline.parameters())
        chosen = _set(method, name, amount / whole)
    else:
        chosen = _set(method, name, _search(count, amount))
    return Matched(chosen, name, chosen.expected_tuned(outline))


def _set(method: Method, name: str, value: float) -> Method:
    changed: dict[str, Any] = {name: value}
    return replace(method, **changed)


def _search(count: Callable[[int], int | None], amount: int) -> int:
    """Return the whole number whose count is nearest; counts rise or fall with the number."""
    sizes = {value: count(value) for value in (1, 2, 3, 4, LARGEST)}
    found = {value: size for value, size in sizes.items() if size is not None}
    rises = found[max(found)] > found[min(found)]
    low, high = 1, LARGEST
    while high - low > 4:
        middle = (low + high) // 2
        size = next(filter(None, map(count, range(middle, high))), None)
        is_above = size is not None and size > amount
        low, high = (low, middle) if is_above == rises else (middle, high)
    near = {value: count(value) for value in range(max(1, low - 4), high + 5)}
    kept = {value: size for value, size in near.items() if size is not None}
    return min(kept, key=lambda value: (abs(kept[value] - amount), value))
