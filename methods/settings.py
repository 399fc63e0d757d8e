"""A method's hyper-parameters: dataclass fields that check themselves, and their way from and to text.

Nothing in here needs torch, so the command line can check what was typed before anything heavy is
imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = str | int | float | bool
T = TypeVar("T", str, int, float, bool)
KIND_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def setting(
    default: T,
    help: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    one_of: tuple[str, ...] = (),
    choices: tuple[T, ...] = (),
) -> T:
    """Declare a hyper-parameter as a dataclass field.

    ``at_least``, ``above``, ``below`` and ``one_of`` are what `check` enforces; ``choices`` is what
    a search tries.
    """
    rules = {"at_least": at_least, "above": above, "below": below, "one_of": one_of}
    declared: T = field(default=default, metadata={"help": help, "choices": choices} | rules)
    return declared


def check(name: str, method: DataclassInstance) -> None:
    """Check every hyper-parameter of the method called ``name`` against its declaration.

    Raises: ValueError naming the field, the rule and the value.
    """
    for item in fields(method):
        value = getattr(method, item.name)
        for rule in _broken_rules(item, value):
            raise ValueError(f"{name}: {item.name} must be {rule}, got {value}")


def parse(name: str, kind: type[DataclassInstance], given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the given settings with the types that the fields of the method called ``name`` have.

    Raises: ValueError if a key is unknown or a text does not fit its field.
    """
    types = get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for key in given:
        if key not in known:
            raise ValueError(f"{name}: unknown setting '{key}'{suggest(key, known)}")
    return {key: _convert(value, types[key], f"{name}: {key}") for key, value in given.items()}


def settings(method: DataclassInstance) -> dict[str, Value]:
    """Return all hyper-parameters of a method by name."""
    return {item.name: getattr(method, item.name) for item in fields(method)}


def changed_settings(method: DataclassInstance) -> tuple[tuple[str, str], ...]:
    """Return the hyper-parameters that differ from their defaults, as the text that `parse` reads back."""
    defaults = {item.name: item.default for item in fields(method) if item.default is not MISSING}
    return tuple(
        (key, _to_text(value)) for key, value in settings(method).items() if value != defaults[key]
    )


def suggest(word: str, known: list[str]) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, and all of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"{hint}; available: {', '.join(sorted(known)) or 'none'}"


def _broken_rules(item: Field[Any], value: Any) -> list[str]:
    rules = item.metadata
    broken = {
        f">= {rules['at_least']}": rules["at_least"] is not None and not value >= rules["at_least"],
        f"> {rules['above']}": rules["above"] is not None and not value > rules["above"],
        f"< {rules['below']}": rules["below"] is not None and not value < rules["below"],
        f"one of {', '.join(rules['one_of'])}": bool(rules["one_of"])
        and value not in rules["one_of"],
    }
    return [rule for rule, is_broken in broken.items() if is_broken]


def _convert(value: Value, kind: type, where: str) -> Value:
    error = ValueError(f"{where} must be {KIND_NAMES[kind]}, got '{value}'")
    if isinstance(value, str) and kind is not str:
        try:
            return BOOLEANS[value.lower()] if kind is bool else kind(value)
        except (KeyError, ValueError):
            raise error from None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise error
    return value


def _to_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
