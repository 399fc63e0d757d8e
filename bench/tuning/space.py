"""What tuning may try: one dimension a setting, of the method or of the protocol, each with its default.

A method's dimensions are the ``choices`` declared on its fields, the shared ones the ``search``
ranges and the ``choices`` declared on the protocol's fields; ``--search`` replaces either. The
default of every dimension lies inside it, because the first trial of every study is the default.
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
LOG_SPAN = 10  # a range given on the command line is logarithmic from this ratio of its ends on


@dataclass(frozen=True)
class Dimension:
    """One searched setting: ``method.<setting>`` or ``<section>.<field>`` of the protocol; choices or a range."""

    key: str
    default: Value
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __post_init__(self) -> None:
        """Raises: SpecError if the range is empty or the default lies outside."""
        if not self.choices and not self.low < self.high:
            raise SpecError(
                f"--search: {self.key} must have a lower end below the upper one, got {self}"
            )
        inside = (
            self.default in self.choices
            if self.choices
            else self.low <= float(self.default) <= self.high
        )
        if not inside:
            raise SpecError(
                f"--search: {self.key} must include its default {self.default} (trial 0), got {self}"
            )

    @property
    def ends(self) -> tuple[Value, ...]:
        """What must be a valid setting so that all of the dimension is: every choice, or both ends of the range."""
        return self.choices or (type(self.default)(self.low), type(self.default)(self.high))

    def asked_as(self, method: str) -> str:
        """Return the key as the command line has it: ``lora.rank`` for ``method.rank`` of LoRA."""
        return (
            f"{method}.{self.key.removeprefix('method.')}"
            if self.key.startswith("method.")
            else self.key
        )

    def __str__(self) -> str:
        """Return the form that ``--search`` accepts, without the key."""
        return ",".join(map(str, self.choices)) if self.choices else f"{self.low:g}..{self.high:g}"

    def suggest(self, trial: Trial) -> Value:
        """Return the value that the trial's sampler proposes; a trial that has one already keeps it."""
        if self.choices:
            chosen = trial.suggest_categorical(self.key, self.choices)
            assert chosen is not None  # Optuna could choose it, this class has no such choice
            return chosen
        if isinstance(self.default, int):
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)


Space = tuple[Dimension, ...]


def build_space(
    method: Method, protocol: Protocol, searches: Iterable[str] = (), only: Sequence[str] = ()
) -> Space:
    """Return the dimensions of a method under a protocol, in the order of their declaration.

    ``searches`` are ``--search`` arguments such as ``lora.rank=2..64`` or ``train.lr=1e-4,1e-3``;
    those of other methods are passed over. ``only`` names, in the same way, the dimensions to keep;
    all, if it is empty. Raises: SpecError for a dimension that does not exist, that leaves its
    default out, or that reaches beyond what the setting may be; or if ``only`` keeps none.
    """
    name = method.info.name
    space = {
        dimension.key: dimension
        for dimension in [*_method_space(method), *_shared_space(method, protocol)]
    }
    for search in searches:
        key, equals, text = search.partition("=")
        owner, _, setting = key.partition(".")
        if not equals or not setting:
            raise SpecError(
                f"--search: must look like lora.rank=2..64 or train.lr=1e-4,1e-3, got '{search}'"
            )
        if key in space:
            space[key] = _read_dimension(key, text, space[key].default)
        elif owner in SECTIONS:
            shared = [known for known in space if not known.startswith("method.")]
            raise SpecError(f"--search: unknown dimension '{key}'{suggest(key, shared)}")
        elif owner == name:
            own = {item.name: getattr(method, item.name) for item in fields(method)}
            if setting not in own:
                raise SpecError(
                    f"--search: {name} has no setting '{setting}'{suggest(setting, list(own))}"
                )
            space[f"method.{setting}"] = _read_dimension(f"method.{setting}", text, own[setting])
    for dimension in space.values():
        _check_ends(dimension, method, protocol)
    kept = tuple(
        dimension for dimension in space.values() if not only or dimension.asked_as(name) in only
    )
    if not kept:
        known = [dimension.asked_as(name) for dimension in space.values()]
        raise SpecError(f"--only: {name} has no dimension '{only[0]}'{suggest(only[0], known)}")
    return kept


def check_owners(searches: Iterable[str], methods: Sequence[str]) -> None:
    """Raise SpecError if a ``--search`` names neither a section of the protocol nor a method that is tuned."""
    for search in searches:
        owner = search.partition("=")[0].partition(".")[0]
        if owner not in (*SECTIONS, *methods):
            raise SpecError(
                f"--search: unknown dimension '{search}'{suggest(owner, [*SECTIONS, *methods])}"
            )


def check_only(
    only: Sequence[str], methods: Sequence[Method], protocol: Protocol, searches: Iterable[str] = ()
) -> None:
    """Raise SpecError if an ``--only`` names no method's dimension, or leaves a method with none."""
    spaces = [(method.info.name, build_space(method, protocol, searches)) for method in methods]
    known = dict.fromkeys(dimension.asked_as(name) for name, space in spaces for dimension in space)
    for key in only:
        if key not in known:
            raise SpecError(f"--only: unknown dimension '{key}'{suggest(key, list(known))}")
    for method in methods:
        build_space(method, protocol, searches, only)


def describe_space(space: Space) -> dict[str, Any]:
    """Return the space as plain data, to be compared with that of a study made earlier."""
    return {
        dimension.key: {k: v for k, v in asdict(dimension).items() if k != "key"}
        for dimension in space
    }


def defaults(space: Space) -> dict[str, Value]:
    """Return the values of the first trial."""
    return {dimension.key: dimension.default for dimension in space}


def split_values(values: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return (settings of the method, fields of the protocol) of the values of a trial."""
    own = {
        key.removeprefix("method."): value
        for key, value in values.items()
        if key.startswith("method.")
    }
    return own, {key: value for key, value in values.items() if not key.startswith("method.")}


def _method_space(method: Method) -> list[Dimension]:
    found = []
    for item in fields(method):
        choices = item.metadata["choices"]
        if choices:
            value = getattr(method, item.name)  # what was asked for in brackets is the default here
            found.append(
                Dimension(f"method.{item.name}", value, tuple(dict.fromkeys((*choices, value))))
            )
    return found


def _shared_space(method: Method, protocol: Protocol) -> list[Dimension]:
    found = []
    for section in SECTIONS:
        part = getattr(protocol, section)
        for item in fields(part):
            key, value = f"{section}.{item.name}", getattr(part, item.name)
            if item.metadata["search"]:
                low, high, scale = item.metadata["search"]
                found.append(
                    Dimension(key, value, (), min(low, value), max(high, value), scale == "log")
                )
            elif item.metadata["choices"] and _has_effect(key, method, protocol):
                choices = dict.fromkeys((*item.metadata["choices"], value))
                found.append(Dimension(key, value, tuple(choices)))
    return found


def _has_effect(key: str, method: Method, protocol: Protocol) -> bool:
    """Whether a shared setting changes anything: drop path acts in blocks that are in training mode, no others."""
    return (
        key != "train.drop_path"
        or method.info.tunes_backbone
        or protocol.model.backbone_mode == "train"
    )


def _check_ends(dimension: Dimension, method: Method, protocol: Protocol) -> None:
    setting = dimension.key.removeprefix("method.")
    for value in dimension.ends:
        try:
            if setting != dimension.key:
                replace(method, **{setting: value})
            else:
                override(protocol, f"{setting}={value}")
        except ValueError as error:
            raise SpecError(f"--search: {error}") from None


def _read_dimension(key: str, text: str, default: Value) -> Dimension:
    span = re.fullmatch(r"(.+?)\.\.(.+)", text)
    try:
        if span is not None and not isinstance(default, str | bool):
            low, high = float(span[1]), float(span[2])
            if not all(
                isfinite(end) and (isinstance(default, float) or end.is_integer())
                for end in (low, high)
            ):
                raise ValueError
            log = low > 0 and high >= LOG_SPAN * low
            return Dimension(key, default, (), low, high, log)
        if span is None:
            convert = _read_bool if isinstance(default, bool) else type(default)
            return Dimension(
                key, default, tuple(dict.fromkeys(convert(part) for part in text.split(",")))
            )
    except (KeyError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
    raise SpecError(
        f"--search: {key} must be values such as 2,4,8 or a range of numbers such as 2..64, got '{text}'"
    )


def _read_bool(text: str) -> bool:
    return {"true": True, "false": False}[text]
