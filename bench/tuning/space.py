"""What tuning may try: one dimension a setting, of the method or the protocol, with its default.

A method's dimensions are the ``choices`` declared on its fields. The shared ones are the ``search``
ranges and the ``choices`` declared on the protocol's fields. ``--search`` replaces either. Every
dimension includes its default, because the first trial of every study is the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from bench.specs.protocol import SECTIONS, Protocol, SpecError, override, suggest

if TYPE_CHECKING:
    from optuna.trial import Trial

    from methods.base import Method  # imports torch, which `run` wants to do without for a while

Value = str | int | float | bool
METHOD = "method"  # begins the keys of a method's own settings
LOG_SPAN = 10  # a range given on the command line is logarithmic from this ratio of its ends on


@dataclass(frozen=True)
class Dimension:
    """One searched setting, with choices or a range."""

    key: str  # "method.<setting>", or "<section>.<field>" of the protocol
    default: Value
    choices: tuple[Value, ...] = ()  # empty: a range
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __post_init__(self) -> None:
        """Raises: SpecError if the range is empty or the default is outside."""
        if not self.choices and not self.low < self.high:
            raise SpecError(
                f"--search: {self.key} must have a lower end below the upper one, got {self}"
            )
        if not self._includes_default():
            rule = f"must include its default {self.default} (trial 0)"
            raise SpecError(f"--search: {self.key} {rule}, got {self}")

    def _includes_default(self) -> bool:
        if self.choices:
            return self.default in self.choices
        return self.low <= float(self.default) <= self.high

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values whose validity makes the whole dimension valid: all choices, or both ends."""
        return self.choices or (type(self.default)(self.low), type(self.default)(self.high))

    def asked_as(self, method: str) -> str:
        """Return the key as on the command line: ``lora.rank`` for ``method.rank`` of LoRA."""
        owner, _, setting = self.key.partition(".")
        return f"{method}.{setting}" if owner == METHOD else self.key

    def __str__(self) -> str:
        """Return the form that ``--search`` accepts, without the key."""
        if self.choices:
            return ",".join(map(str, self.choices))
        return f"{self.low:g}..{self.high:g}"

    def suggest(self, trial: Trial) -> Value:
        """Return the value that the trial has, or the one that its sampler proposes."""
        if self.choices:
            chosen = trial.suggest_categorical(self.key, self.choices)
            assert chosen is not None  # a choice for Optuna, but not for this class
            return chosen
        if isinstance(self.default, int):
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)


Space = tuple[Dimension, ...]


def build_space(
    method: Method, protocol: Protocol, searches: Iterable[str] = (), only: Sequence[str] = ()
) -> Space:
    """Return the dimensions of a method under a protocol, in the order of their declaration.

    Args:
        method: with its defaults.
        protocol: the shared settings, with their defaults.
        searches: ``--search`` arguments such as ``lora.rank=2..64`` or ``train.lr=1e-4,1e-3``;
            those of other methods are ignored.
        only: the dimensions to keep, named in the same way; empty: all.

    Raises: SpecError for a dimension that does not exist, that leaves its default out, or that
        reaches beyond what the setting may be; or if ``only`` keeps none.
    """
    name = method.info.name
    space = {
        dimension.key: dimension
        for dimension in [*_method_space(method), *_shared_space(method, protocol)]
    }
    for search in searches:
        dimension = _read_search(search, method, space)
        if dimension is not None:
            space[dimension.key] = dimension
    for dimension in space.values():
        _check_ends(dimension, method, protocol)
    named = {dimension.asked_as(name): dimension for dimension in space.values()}
    kept = tuple(dimension for key, dimension in named.items() if not only or key in only)
    if not kept:
        raise SpecError(
            f"--only: {name} has no dimension '{only[0]}'{suggest(only[0], list(named))}"
        )
    return kept


def check_owners(searches: Iterable[str], methods: Sequence[str]) -> None:
    """Raise SpecError if a ``--search`` names no section of the protocol and no tuned method."""
    owners = [*SECTIONS, *methods]
    for search in searches:
        owner = search.partition("=")[0].partition(".")[0]
        if owner not in owners:
            raise SpecError(f"--search: unknown dimension '{search}'{suggest(owner, owners)}")


def check_only(
    only: Sequence[str], methods: Sequence[Method], protocol: Protocol, searches: Iterable[str] = ()
) -> None:
    """Raise SpecError if an ``--only`` is no dimension of a method, or leaves a method with none."""
    known: list[str] = []
    for method in methods:
        space = build_space(method, protocol, searches)
        known += [dimension.asked_as(method.info.name) for dimension in space]
    for key in only:
        if key not in known:
            raise SpecError(f"--only: unknown dimension '{key}'{suggest(key, known)}")
    for method in methods:
        build_space(method, protocol, searches, only)


def describe_space(space: Space) -> dict[str, Any]:
    """Return the space as plain data, to be compared with that of a study made earlier."""
    record = {}
    for dimension in space:
        described = asdict(dimension)
        record[described.pop("key")] = described
    return record


def defaults(space: Space) -> dict[str, Value]:
    """Return the values of the first trial."""
    return {dimension.key: dimension.default for dimension in space}


def split_values(values: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return (settings of the method, fields of the protocol) of the values of a trial."""
    own, shared = {}, {}
    for key, value in values.items():
        owner, _, setting = key.partition(".")
        if owner == METHOD:
            own[setting] = value
        else:
            shared[key] = value
    return own, shared


def _method_space(method: Method) -> list[Dimension]:
    found = []
    for item in fields(method):
        if item.metadata["choices"]:
            value = getattr(method, item.name)  # a setting asked for in brackets is the default
            choices = _unique(*item.metadata["choices"], value)
            found.append(Dimension(f"{METHOD}.{item.name}", value, choices))
    return found


def _shared_space(method: Method, protocol: Protocol) -> list[Dimension]:
    found = []
    for section in SECTIONS:
        part = getattr(protocol, section)
        for item in fields(part):
            key, value = f"{section}.{item.name}", getattr(part, item.name)
            if item.metadata["search"]:
                low, high, scale = item.metadata["search"]
                low, high = min(low, value), max(high, value)
                found.append(Dimension(key, value, (), low, high, scale == "log"))
            elif item.metadata["choices"] and _has_effect(key, method, protocol):
                found.append(Dimension(key, value, _unique(*item.metadata["choices"], value)))
    return found


def _has_effect(key: str, method: Method, protocol: Protocol) -> bool:
    """Whether a shared setting changes anything: drop path acts in blocks in training mode only."""
    trains_blocks = method.info.tunes_backbone or protocol.model.backbone_mode == "train"
    return key != "train.drop_path" or trains_blocks


def _check_ends(dimension: Dimension, method: Method, protocol: Protocol) -> None:
    owner, _, setting = dimension.key.partition(".")
    for value in dimension.ends:
        try:
            if owner == METHOD:
                replace(method, **{setting: value})
            else:
                override(protocol, f"{dimension.key}={value}")
        except ValueError as error:
            raise SpecError(f"--search: {error}") from None


def _read_search(search: str, method: Method, space: Mapping[str, Dimension]) -> Dimension | None:
    """Return the dimension that a ``--search`` argument sets; None if it is of another method."""
    name = method.info.name
    key, equals, text = search.partition("=")
    owner, _, setting = key.partition(".")
    if not equals or not setting:
        raise SpecError(
            f"--search: must look like lora.rank=2..64 or train.lr=1e-4,1e-3, got '{search}'"
        )
    if key in space:
        return _read_dimension(key, text, space[key].default)
    if owner in SECTIONS:
        shared = [known for known in space if not known.startswith(f"{METHOD}.")]
        raise SpecError(f"--search: unknown dimension '{key}'{suggest(key, shared)}")
    if owner != name:
        return None
    known = [item.name for item in fields(method)]
    if setting not in known:
        raise SpecError(f"--search: {name} has no setting '{setting}'{suggest(setting, known)}")
    return _read_dimension(f"{METHOD}.{setting}", text, getattr(method, setting))


def _read_dimension(key: str, text: str, default: Value) -> Dimension:
    span = re.fullmatch(r"(.+?)\.\.(.+)", text)
    try:
        if span is None:
            choices = _unique(*(_read_value(part, default) for part in text.split(",")))
            return Dimension(key, default, choices)
        if not isinstance(default, str | bool):
            low, high = (_read_end(end, default) for end in span.groups())
            return Dimension(key, default, (), low, high, low > 0 and high >= LOG_SPAN * low)
    except SpecError:
        raise
    except (KeyError, ValueError):
        pass
    raise SpecError(
        f"--search: {key} must be values such as 2,4,8 or a range of numbers such as 2..64, "
        f"got '{text}'"
    )


def _read_value(text: str, default: Value) -> Value:
    if isinstance(default, bool):
        return {"true": True, "false": False}[text]
    return type(default)(text)


def _read_end(text: str, default: Value) -> float:
    end = float(text)
    if not isfinite(end) or (isinstance(default, int) and not end.is_integer()):
        raise ValueError(text)
    return end


def _unique(*values: Value) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))
