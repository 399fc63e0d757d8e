"""What ``--methods`` may name: the methods, a user's own ones, and the reference networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import methods
from bench.models.references import registry
from bench.models.references.registry import is_reference
from methods.settings import Value

if TYPE_CHECKING:
    from methods.base import Contender

__all__ = ["build", "check_name", "is_reference"]


def check_name(name: str) -> str:
    """Return a known name (a user's own is not imported). Raises: ValueError with the nearest."""
    return registry.check_name(name) if is_reference(name) else methods.check_name(name)


def build(name: str, given: Mapping[str, Value] | None = None) -> Contender:
    """Build a method or a network's record; settings may be text.

    Raises: ValueError if the name, a setting's name or its value is wrong.
    """
    return registry.build(name, given) if is_reference(name) else methods.build(name, given)
