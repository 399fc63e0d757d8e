"""From what the user typed to the list of runs: methods x data sets x folds x seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import methods
from bench.specs.protocol import Protocol, SpecError
from bench.specs.run import MethodSpec, RunSpec


@dataclass(frozen=True)
class DataSource:
    """A data set on disk: its name, where it lies, the fingerprint of what is used of it, and what cannot be used."""

    name: str
    root: Path
    fingerprint: str
    left_out: tuple[tuple[str, str], ...] = ()  # case and reason
    splits_sha256: str = ""  # of the file of folds, if there is one


def expand(
    method_specs: Iterable[MethodSpec],
    sources: Iterable[DataSource],
    folds: Iterable[int],
    seeds: Iterable[int],
    protocol: Protocol,
    weights_sha256: str = "",
    shots: Sequence[int] = (),
) -> list[RunSpec]:
    """Return every cell of the grid, data set by data set, the methods in the order given.

    Each number of ``shots`` is a protocol of its own; without one it is that of ``protocol``.
    """
    protocols = [
        replace(protocol, data=replace(protocol.data, shots=number)) for number in shots
    ] or [protocol]
    cells = product(sources, protocols, folds, seeds, method_specs)
    return [
        RunSpec(
            method,
            source.name,
            source.fingerprint,
            fold,
            seed,
            each,
            source.root,
            weights_sha256,
            left_out=source.left_out,
            splits_sha256=source.splits_sha256,
        )
        for source, each, fold, seed, method in cells
    ]


def parse_methods(text: str) -> list[MethodSpec]:
    """Return the methods that ``--methods`` asks for.

    ``all`` means every registered one; ``package.module:Class`` is a user's own; ``lora[rank=4,8]``
    means two; several keys in one bracket give their product. Raises: SpecError if the text cannot
    be read; ValueError from `methods.get` if a name is unknown.
    """
    found: list[MethodSpec] = []
    for item in split_list(text, "--methods"):
        match = re.fullmatch(r"([\w.]+(?::\w+)?)(?:\[(.*)\])?", item)
        if match is None:
            raise SpecError(
                f"--methods: cannot read '{item}' (examples: lora, lora[rank=4,8], all)"
            )
        name, inner = match.groups()
        names = methods.names() if name == "all" else [methods.check_name(name)]
        if name == "all" and inner:
            raise SpecError(f"--methods: 'all' takes no settings, got '{item}'")
        axes = _parse_settings(inner or "", item)
        found += [
            MethodSpec(each, tuple(zip(axes, values, strict=True)))
            for each in names
            for values in product(*axes.values())
        ]
    return list(dict.fromkeys(found))


def parse_names(text: str, known: Mapping[str, str] | list[str], option: str) -> list[str]:
    """Return the names of a comma list, ``all`` standing for every known one; unknown names are left to the caller."""
    names = split_list(text, option)
    return list(known) if names == ["all"] else list(dict.fromkeys(names))


def parse_numbers(text: str, option: str, upper: int | None = None) -> list[int]:
    """Return the numbers of ``0,2``, ``0-4`` or, where ``upper`` is given, ``all``.

    Raises: SpecError if it is no such list, or if a number is not below ``upper``.
    """
    if text == "all" and upper is not None:
        return list(range(upper))
    numbers: list[int] = []
    for item in split_list(text, option):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
        if match is None:
            raise SpecError(f"{option}: must be numbers such as 0,1 or 0-4, got '{text}'")
        first = int(match[1])
        numbers += range(first, int(match[2] or first) + 1)
    if upper is not None and any(number >= upper for number in numbers):
        raise SpecError(f"{option}: must be below {upper}, got '{text}'")
    return list(dict.fromkeys(numbers))


def split_list(text: str, option: str) -> list[str]:
    """Split at the commas outside brackets.

    Raises: SpecError if nothing is left or an item is empty.
    """
    items = [item.strip() for item in re.split(r",(?![^\[]*\])", text)]
    if not all(items):
        raise SpecError(f"{option}: must be a comma-separated list, got '{text}'")
    return items


def _parse_settings(inner: str, item: str) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in inner.split(","))):
        key, equals, value = part.partition("=")
        if equals:
            axes[key] = [value]
        elif axes:
            axes[next(reversed(axes))].append(part)
        else:
            raise SpecError(f"--methods: settings must look like name[key=value], got '{item}'")
    return axes
