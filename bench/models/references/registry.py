"""The reference networks by name, without torch; a network's file is imported when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from methods.settings import Value, parse, suggest

if TYPE_CHECKING:
    from bench.models.references.base import Reference

PREFIX = "net:"  # in front of every name
REFERENCES: dict[str, str] = {
    "net:nnunet": "bench.models.references.nnunet:NnUnet",
    "net:nnunet_resenc": "bench.models.references.nnunet:NnUnetResEnc",
    "net:unetr": "bench.models.references.unetr:Unetr",
    "net:swin_unetr": "bench.models.references.swin_unetr:SwinUnetr",
}


def names() -> list[str]:
    """Return the names of all reference networks, in the order in which lists show them."""
    return list(REFERENCES)


def is_reference(name: str) -> bool:
    """Return whether a name is meant as one of a reference network."""
    return name.startswith(PREFIX)


def check_name(name: str) -> str:
    """Return a known name. Raises: ValueError with the nearest."""
    if name not in REFERENCES:
        raise ValueError(f"unknown network '{name}'{suggest(name, names())}")
    return name


def get(name: str) -> type[Reference]:
    """Return a network's class. Raises: ValueError if there is no such network."""
    module, _, attribute = REFERENCES[check_name(name)].partition(":")
    return getattr(import_module(module), attribute)


def build(name: str, given: Mapping[str, Value] | None = None) -> Reference:
    """Return a network's record; settings may be text. Raises: ValueError if one is wrong."""
    kind = get(name)
    return kind(**parse(name, kind, given or {}))
