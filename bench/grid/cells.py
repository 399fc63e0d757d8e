"""From what the user typed to methods, data sets, folds and seeds."""

import re
from collections.abc import Iterable
from itertools import product
from math import prod

import methods
from bench.specs import lookup
from bench.specs.protocol import SpecError
from bench.specs.run import MethodSpec

METHOD = re.compile(r"([\w.]+(?::\w+)?)(?:\[(.*)\])?")  # a name, and settings in brackets
MOST_VALUES = 1000  # of one option; more is a slip, and fills the memory
MOST_DIGITS = 18
NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")


def parse_methods(text: str) -> list[MethodSpec]:
    """Return the methods that ``--methods`` asks for.

    ``all`` means every registered one, ``paper`` or the name of a family those in it;
    ``net:nnunet`` is a reference network;
    ``package.module:Class`` is a user's own; ``lora[rank=4,8]`` means two; several keys in one
    bracket give their product. Raises: SpecError if the text cannot be read; ValueError from
    `lookup.check_name` if a name is unknown.
    """
    found: list[MethodSpec] = []
    groups = methods.groups()
    for item in split_list(text, "--methods"):
        match = METHOD.fullmatch(item)
        if match is None:
            examples = "examples: lora, lora[rank=4,8], all"
            raise SpecError(f"--methods: cannot read '{item}' ({examples})")
        name, inner = match.groups()
        names = groups[name] if name in groups else [lookup.check_name(name)]
        if name in groups and inner:
            raise SpecError(f"--methods: '{name}' takes no settings, got '{item}'")
        axes = _parse_settings(inner or "", item)
        n_settings = prod(map(len, axes.values()))
        if n_settings > MOST_VALUES:
            rule = f"must be at most {MOST_VALUES:,} settings of a method"
            raise SpecError(f"--methods: {rule}, got {n_settings:,} in '{item:.60}'")
        for each, values in product(names, product(*axes.values())):
            found.append(MethodSpec(each, tuple(zip(axes, values, strict=True))))
    return list(dict.fromkeys(found))


def parse_names(text: str, known: Iterable[str], option: str) -> list[str]:
    """Return the names of a comma list, ``all`` meaning every known one; they are not checked."""
    names = split_list(text, option)
    return list(known) if names == ["all"] else list(dict.fromkeys(names))


def parse_numbers(text: str, option: str, upper: int | None = None) -> list[int]:
    """Return the numbers of ``0,2``, ``0-4`` or, where ``upper`` is given, ``all``.

    Raises: SpecError if it is no such list, or if a number is not below ``upper``.
    """
    if text == "all" and upper is not None:
        text = f"0-{upper - 1}"
    numbers: list[int] = []
    for item in split_list(text, option):
        match = NUMBERS.fullmatch(item)
        if match is None:
            raise SpecError(f"{option}: must be numbers such as 0,1 or 0-4, got '{text}'")
        first, last = match[1], match[2] or match[1]
        if max(len(first), len(last)) > MOST_DIGITS:
            rule = f"must be at most {MOST_DIGITS} digits long"
            raise SpecError(f"{option}: {rule}, got '{text:.60}'")
        span = range(int(first), int(last) + 1)
        if not span:
            raise SpecError(f"{option}: must have the lower number first, got '{text}'")
        if len(numbers) + len(span) > MOST_VALUES:
            rule = f"must be at most {MOST_VALUES:,} numbers"
            raise SpecError(f"{option}: {rule}, got '{text:.60}' (give several commands)")
        numbers += span
    if upper is not None and numbers and max(numbers) >= upper:
        raise SpecError(f"{option}: must be below {upper}, got '{text}'")
    return list(dict.fromkeys(numbers))


def split_list(text: str, option: str) -> list[str]:
    """Split at the commas outside brackets. Raises: SpecError if an item is empty."""
    items = [item.strip() for item in re.split(r",(?![^\[]*\])", text)]
    if not all(items):
        raise SpecError(f"{option}: must be a comma-separated list, got '{text}'")
    return items


def _parse_settings(inner: str, item: str) -> dict[str, list[str]]:
    """Return the values of each key in ``rank=4,8,alpha=1``."""
    axes: dict[str, list[str]] = {}
    for part in filter(None, map(str.strip, inner.split(","))):
        key, equals, value = part.partition("=")
        if equals:
            if key in axes:
                hint = f"several values are {key}={','.join(axes[key])},{value}"
                raise SpecError(f"--methods: '{item}' must give {key} once, got it twice ({hint})")
            axes[key] = [value]
        elif axes:
            axes[next(reversed(axes))].append(part)
        else:
            raise SpecError(f"--methods: settings must look like name[key=value], got '{item}'")
    return axes
