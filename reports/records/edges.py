"""Whether a value is at an end of what a study searched, so that a better one may be outside."""

from collections.abc import Mapping
from math import log
from typing import Any

EDGE_FRAC = 0.025  # of a range, in its scale, that counts as its end
LOWER, UPPER = "lower", "upper"


def find_edge(dimension: Mapping[str, Any], value: Any) -> str:
    """Return `LOWER` or `UPPER` if the value is at that end of a searched setting, else "".

    The end of a range is its outermost `EDGE_FRAC`; of numbers to choose from, the smallest or the
    largest. Words and switches have no ends. An end that the setting itself cannot exceed, such as
    a dropout of 0, is none. ``dimension`` is a value of `StudyRecord.space`.
    """
    if isinstance(value, bool | str):
        return ""
    ends = dimension["choices"] or (dimension["low"], dimension["high"])
    low, high = min(ends), max(ends)
    if not low < high:
        return ""
    if dimension["choices"]:
        position = {low: 0.0, high: 1.0}.get(value, 0.5)
    elif dimension["log"]:
        position = log(value / low) / log(high / low)
    else:
        position = (value - low) / (high - low)
    if position <= EDGE_FRAC and not dimension["low_is_limit"]:
        return LOWER
    if position >= 1 - EDGE_FRAC and not dimension["high_is_limit"]:
        return UPPER
    return ""


def describe_ends(dimension: Mapping[str, Any]) -> str:
    """Return what was searched, as on the command line."""
    if dimension["choices"]:
        return ",".join(map(str, dimension["choices"]))
    return f"{dimension['low']:g}..{dimension['high']:g}"
