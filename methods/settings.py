"""Settings: dataclass fields that say what they must be, and their way from and to text.

Methods, the protocol and the pre-training recipe declare their fields in this one way. Nothing in
here needs torch, so the command line checks what was typed before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = str | int | float | bool
Range = tuple[float, float, str] | None  # low, high, and "log" or "linear"
T = TypeVar("T")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class SpecError(ValueError):
    """A setting that does not exist or cannot be; the message is one sentence for the user."""


@dataclass(frozen=True)
class Condition:
    """What a setting must be, in words and as a test; nan breaks every condition on numbers."""

    text: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()  # where it is one of some words


def at_least(low: float) -> Condition:
    """A lower end that is allowed; infinity is not."""
    return Condition(f">= {low}", lambda value: low <= value < inf)


def above(low: float) -> Condition:
    """A lower end that is not allowed itself, as infinity is not."""
    return Condition(f"> {low}", lambda value: low < value < inf)


def one_of(*names: str) -> Condition:
    """One of some words."""
    text = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
    return Condition(text, lambda value: value in names, names)


ANY = Condition("of its type", lambda value: True)
SEED = Condition("from 0 to 4294967295", lambda value: 0 <= value < 2**32)  # that all can take
RATE = Condition("in [0, 1)", lambda value: 0 <= value < 1)


def setting(
    default: T, help: str, rule: Condition = ANY, choices: tuple[T, ...] = (), search: Range = None
) -> T:
    """Declare a setting as a dataclass field; tuning tries ``choices`` or the range ``search``."""
    metadata = {"help": help, "must_be": rule, "choices": choices, "search": search}
    return field(default=default, metadata=metadata)


def check(where: str, record: DataclassInstance) -> None:
    """Check every setting of a record; ``where`` names a field in messages, as in "lora: {}".

    Raises: SpecError with the field, the condition and the value.
    """
    for item in fields(record):
        must_be: Condition = item.metadata["must_be"]
        value = getattr(record, item.name)
        if not must_be.holds(value):
            rule = f"{where.format(item.name)} must be {must_be.text}"
            raise SpecError(f"{rule}, got {value}{_ask(str(value), must_be.choices)}")


def parse(name: str, kind: type[DataclassInstance], given: Mapping[str, Value]) -> dict[str, Any]:
    """Return the given settings of the method called ``name`` with the types of its fields.

    Raises: SpecError if a key is unknown or a text does not fit its field.
    """
    types = get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for key in given:
        if key not in known:
            raise SpecError(f"{name}: unknown setting '{key}'{suggest(key, known)}")
    return {key: read_value(value, types[key], f"{name}: {key}") for key, value in given.items()}


def read_value(value: Any, kind: Any, where: str) -> Any:
    """Return a value as its field's type: text is read. Raises: SpecError naming ``where``."""
    words, read = KINDS[kind]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    try:
        if isinstance(value, str):
            return read(value)
    except (KeyError, ValueError):
        pass
    raise SpecError(f"{where} must be {words}, got '{value}'")


def settings(method: DataclassInstance) -> dict[str, Value]:
    """Return all settings of a method by name."""
    return {item.name: getattr(method, item.name) for item in fields(method)}


def changed_settings(method: DataclassInstance) -> tuple[tuple[str, str], ...]:
    """Return the settings that differ from their defaults, as text that `parse` reads."""
    defaults = {item.name: item.default for item in fields(method) if item.default is not MISSING}
    return tuple(
        (key, _to_text(value)) for key, value in settings(method).items() if value != defaults[key]
    )


def suggest(word: str, known: list[str]) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, and all."""
    return f"{_ask(word, known)}; available: {', '.join(sorted(known)) or 'none'}"


def _ask(word: str, known: Iterable[str]) -> str:
    """Return the question for the known word that is nearest, in any case of letters; or none."""
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def _read_shape(text: str) -> tuple[int, int, int]:
    depth, height, width = map(int, text.split(","))
    return depth, height, width


def _read_spacing(text: str) -> tuple[float, float, float] | None:
    if text == "none":
        return None
    depth, height, width = map(float, text.split(","))
    return depth, height, width


KINDS: dict[Any, tuple[str, Callable[[str], Any]]] = {  # type -> its words, and how to read it
    int: ("an integer", int),
    float: ("a number", float),
    bool: ("true or false", lambda text: BOOLEANS[text.lower()]),
    str: ("text", str),
    tuple[int, int, int]: ("three integers D,H,W", _read_shape),
    tuple[float, float, float] | None: ("three lengths D,H,W in mm, or none", _read_spacing),
}


def _to_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
