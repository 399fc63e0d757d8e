"""What tuning may try: one dimension a setting, of the method or the protocol, with its default.

The fields of the method and of the protocol declare them as ``search`` or ``choices``; ``--search``
replaces them. Each includes its default, because the first trial of every study is the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from bench.specs.protocol import SECTIONS, Protocol, SpecError, override, suggest
from methods.settings import Value, read_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from optuna.trial import Trial

    from methods.base import Contender  # imports torch, which `run` wants to do without for a while

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
    low_is_limit: bool = False  # the setting itself allows nothing below its lower end
    high_is_limit: bool = False

    def __post_init__(self) -> None:
        """Raises: SpecError if the range is empty or the default is outside."""
        if self.choices:
            inside = self.default in self.choices
        elif self.low < self.high:
            inside = self.low <= float(self.default) <= self.high
        else:
            rule = "must have a lower end below the upper one"
            raise SpecError(f"--search: {self.key} {rule}, got {self}")
        if not inside:
            rule = f"must include its default {self.default} (trial 0)"
            raise SpecError(f"--search: {self.key} {rule}, got {self}")

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
        return ",".join(map(str, self.choices)) or f"{self.low:g}..{self.high:g}"

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
    method: Contender, protocol: Protocol, searches: Iterable[str] = (), only: Sequence[str] = ()
) -> Space:
    """Return the dimensions of a method under a protocol, in the order of their declaration.

    ``searches`` are ``--search`` arguments such as ``lora.rank=2..64`` or ``train.lr=1e-4,1e-3``;
    those of other methods are ignored. ``only`` names the dimensions to keep; empty: all. Nothing
    is kept if those named have no effect on the method, as ``train.lr`` where the decoder alone
    trains. Raises: SpecError if one is unknown, excludes its default or exceeds its setting; if
    the method lacks all that are named.
    """
    name = method.info.name
    idle = _find_idle(method, protocol)
    space = {dimension.key: dimension for dimension in _iter_declared(method, protocol, idle)}
    for search in searches:
        dimension = _read_search(search, method, space, idle)
        if dimension is not None:
            space[dimension.key] = dimension
    for key, dimension in space.items():
        _check_ends(dimension, method, protocol)
        space[key] = _find_limits(dimension, method, protocol)
    named = {dimension.asked_as(name): dimension for dimension in space.values()}
    kept = tuple(dimension for key, dimension in named.items() if not only or key in only)
    if not kept and not idle.intersection(only):
        hint = suggest(only[0], list(named))
        raise SpecError(f"--only: {name} has no dimension '{only[0]}'{hint}")
    return kept


def check_dimensions(
    searches: Sequence[str], only: Sequence[str], methods: Sequence[Contender], protocol: Protocol
) -> None:
    """Raise SpecError if ``--search`` or ``--only`` name what is not tuned, or leave nothing."""
    owners = [*SECTIONS, *(method.info.name for method in methods)]
    _check_given_once(searches)
    for search in searches:
        owner = search.partition("=")[0].partition(".")[0]
        if owner not in owners:
            raise SpecError(f"--search: unknown dimension '{search}'{suggest(owner, owners)}")
    known: list[str] = []
    for method in methods:
        space = build_space(method, protocol, searches)
        known += [dimension.asked_as(method.info.name) for dimension in space]
    for search in searches:
        key = search.partition("=")[0]
        if key not in known:
            rule = f"{key} has no effect on the methods that are tuned"
            raise SpecError(f"--search: {rule}{suggest(key, known)}")
    for key in only:
        if key not in known:
            raise SpecError(f"--only: unknown dimension '{key}'{suggest(key, known)}")
    for method in methods:
        build_space(method, protocol, searches, only)


def _check_given_once(searches: Sequence[str]) -> None:
    """Raise SpecError for a dimension that is given twice, of which one would be lost."""
    keys = [search.partition("=")[0] for search in searches]
    for key in keys:
        if keys.count(key) > 1:
            raise SpecError(f"--search: must give {key} once, got it {keys.count(key)} times")


def describe_space(space: Space) -> dict[str, Any]:
    """Return the space as plain data, to be compared with that of a study made earlier."""
    record = {dimension.key: asdict(dimension) for dimension in space}
    for described in record.values():
        del described["key"]
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


def _iter_declared(
    method: Contender, protocol: Protocol, idle: frozenset[str]
) -> Iterator[Dimension]:
    yield from _iter_dimensions(METHOD, method)
    for section in SECTIONS:
        for dimension in _iter_dimensions(section, getattr(protocol, section)):
            if dimension.key not in idle:
                yield _adapt_to(method, dimension)


def _adapt_to(method: Contender, dimension: Dimension) -> Dimension:
    """Return the dimension with the range of learning rates that the method declares, if any."""
    rates = getattr(method.info, "learning_rates", None)
    if dimension.key != "train.lr" or rates is None:
        return dimension
    value = float(dimension.default)
    return replace(dimension, low=min(rates[0], value), high=max(rates[1], value))


def _find_idle(method: Contender, protocol: Protocol) -> frozenset[str]:
    """Return the settings of the protocol that change nothing for the method."""
    from bench.tuning.effects import find_idle  # imports torch

    in_training_mode = method.has_backbone and protocol.model.backbone_mode == "train"
    trains_blocks = method.tunes_backbone or in_training_mode
    return find_idle(method, protocol) | (set() if trains_blocks else {"train.drop_path"})


def _iter_dimensions(owner: str, record: DataclassInstance) -> Iterator[Dimension]:
    for item in fields(record):
        key, value = f"{owner}.{item.name}", getattr(record, item.name)
        if item.metadata["search"]:
            low, high, scale = item.metadata["search"]
            yield Dimension(key, value, (), min(low, value), max(high, value), scale == "log")
        elif item.metadata["choices"]:
            choices = tuple(dict.fromkeys([*item.metadata["choices"], value]))
            yield Dimension(key, value, choices)


def _check_ends(dimension: Dimension, method: Contender, protocol: Protocol) -> None:
    for end in dimension.ends:
        error = _find_error(dimension.key, end, method, protocol)
        if error:
            raise SpecError(f"--search: {error}")


def _find_limits(dimension: Dimension, method: Contender, protocol: Protocol) -> Dimension:
    """Return the dimension with its ends that the setting cannot exceed marked."""
    if isinstance(dimension.default, bool | str):
        return dimension
    numbers = [float(end) for end in dimension.ends]
    low, high = min(numbers), max(numbers)
    step = 0.01 * (high - low)
    below, above = (0.9 * low if low > 0 else low - step), high + step
    if isinstance(dimension.default, int):
        below, above = int(low) - 1, int(high) + 1
    return replace(
        dimension,
        low_is_limit=bool(_find_error(dimension.key, below, method, protocol)),
        high_is_limit=bool(_find_error(dimension.key, above, method, protocol)),
    )


def _find_error(key: str, value: Value, method: Contender, protocol: Protocol) -> str:
    """Return why a setting cannot have a value; empty if it can."""
    own, shared = split_values({key: value})
    try:
        replace(method, **own)
        for name, given in shared.items():
            override(protocol, f"{name}={given}")
    except ValueError as error:
        return str(error)
    return ""


def _read_search(
    search: str, method: Contender, space: Mapping[str, Dimension], idle: frozenset[str]
) -> Dimension | None:
    """Return the dimension that a ``--search`` argument sets.

    None if it is of another method, or ``idle``: without effect on this one.
    """
    key, equals, text = search.partition("=")
    owner, _, setting = key.partition(".")
    if not equals or not setting:
        rule = "must look like lora.rank=2..64 or train.lr=1e-4,1e-3"
        raise SpecError(f"--search: {rule}, got '{search}'")
    if key in space:
        return _read_dimension(key, text, space[key].default)
    if key in idle:
        return None
    if owner in SECTIONS:
        _, shared = split_values(defaults(tuple(space.values())))
        raise SpecError(f"--search: unknown dimension '{key}'{suggest(key, list(shared))}")
    if owner != method.info.name:
        return None
    known = [item.name for item in fields(method)]
    if setting not in known:
        raise SpecError(f"--search: {owner} has no setting '{setting}'{suggest(setting, known)}")
    own = f"{METHOD}.{setting}"
    try:
        return _read_dimension(own, text, getattr(method, setting))
    except SpecError as error:
        raise SpecError(str(error).replace(own, key)) from None


def _read_dimension(key: str, text: str, default: Value) -> Dimension:
    span = re.fullmatch(r"(.+?)\.\.(.+)", text)
    kind = type(default)
    choices: tuple[Value, ...] = ()
    low = high = 0.0
    try:
        if span is None:
            values = [read_value(part, kind, key) for part in text.split(",")]
            choices = tuple(dict.fromkeys(values))
        else:
            low, high = (_read_end(end, kind) for end in span.groups())
    except ValueError:
        rule = "must be values such as 2,4,8 or a range of numbers such as 2..64"
        raise SpecError(f"--search: {key} {rule}, got '{text}'") from None
    return Dimension(key, default, choices, low, high, log=low > 0 and high >= LOG_SPAN * low)


def _read_end(text: str, kind: type) -> float:
    end = float(text)
    if not isfinite(end) or kind not in (int, float) or (kind is int and not end.is_integer()):
        raise ValueError(text)
    return end
