"""The types by name; nothing in here needs peft, and torch only once a type is looked up."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from methods.bridge.names import TABLES, UNUSABLE
from methods.settings import suggest

if TYPE_CHECKING:
    from methods.bridge.types import Tuner

PREFIX = "peft:"
EXTRA = "pip install 'medtuning-bench[peft]'"


def names() -> list[str]:
    """Return the names of the types that can be used, as ``--methods`` takes them."""
    return [PREFIX + kind for kinds in TABLES.values() for kind in kinds]


def check_name(name: str) -> str:
    """Return a known name.

    Raises: ValueError if there is no such type, or if it cannot be put into a vision backbone.
    """
    kind = name.removeprefix(PREFIX)
    if kind in UNUSABLE:
        raise ValueError(f"{name}: cannot be put into a vision backbone ({UNUSABLE[kind]})")
    if name not in names():
        raise ValueError(f"unknown type '{name}'{suggest(name, names())}")
    return name


def find(name: str) -> Tuner:
    """Return a type. Raises: ValueError as `check_name`."""
    kind = check_name(name).removeprefix(PREFIX)
    table = next(table for table, kinds in TABLES.items() if kind in kinds)
    rows = import_module(f"methods.bridge.{table}").TUNERS
    return next(row for row in rows if row.name == kind)


def check_installed(name: str) -> None:
    """Raise ValueError if the library is not installed."""
    if find_spec("peft") is None:
        raise ValueError(f"method '{name}': needs the library peft, which is not there ({EXTRA})")
