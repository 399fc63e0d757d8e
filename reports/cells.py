"""A table of methods as text: what every format prints, so that no two formats round or rank differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd

from reports.summary import MethodTable
from reports.tidy import MEAN

MISSING = "–"
BEST, SECOND = 1, 2


@dataclass(frozen=True)
class Column:
    """A column of text with the place (`BEST`, `SECOND` or 0) of each of its cells."""

    head: str
    texts: tuple[str, ...]
    places: tuple[int, ...]
    group: str = ""  # the heading over neighbouring columns that belong together


def build_columns(table: MethodTable) -> list[Column]:
    """Return the columns from left to right; a note appears only if there is something to say.

    Methods are ranked by what is printed, and only those with all runs done.
    """
    rows = table.rows
    names = [
        f"{name} [{key}]" if table.mixed else name
        for name, key in zip(rows["method"], rows["protocol_id"], strict=True)
    ]
    ranked = (rows["note"] == "").tolist() if not table.mixed else [False] * len(rows)
    columns = [_plain("Method", names)]
    for region in (*table.regions, MEAN):
        means = rows[f"dice_pct/{region}"]
        texts = [_with_spread(mean, sd) for mean, sd in zip(means, rows[f"dice_pct_sd/{region}"], strict=True)]
        columns.append(Column(region, tuple(texts), _rank(means, ranked, largest_first=True), group="Dice (%)"))
    distances = rows["hd95_mm"]
    columns.append(Column("HD95 (mm)", _numbers(distances, 1), _rank(distances, ranked, largest_first=False)))
    columns.append(_plain("M", _numbers(rows["tuned_m"], 3), group="Tuned"))
    columns.append(_plain("%", _numbers(rows["tuned_pct"], 2), group="Tuned"))
    unit, length_s = _time_unit(rows["fit_s"].max())
    columns.append(_plain(f"Time ({unit})", _numbers(rows["fit_s"] / length_s, 1)))
    if rows["note"].any():
        columns.append(_plain("Note", rows["note"]))
    return columns


def _plain(head: str, texts: Sequence[str] | pd.Series[str], group: str = "") -> Column:
    return Column(head, tuple(texts), (0,) * len(texts), group)


def _with_spread(mean: float, sd: float) -> str:
    if isnan(mean):
        return MISSING
    return f"{mean:.1f}" if isnan(sd) else f"{mean:.1f} ± {sd:.1f}"


def _numbers(values: pd.Series[float], digits: int) -> tuple[str, ...]:
    """Round to ``digits`` decimals, but never a positive number to zero."""
    least = 10.0**-digits
    return tuple(
        MISSING if isnan(value) else f"<{least:.{digits}f}" if 0 < value < least / 2 else f"{value:.{digits}f}"
        for value in values
    )


def _rank(values: pd.Series[float], ranked: Sequence[bool], *, largest_first: bool) -> tuple[int, ...]:
    """Return the place of each value, equal for those that print equal; 0 for all if there is nothing to tell apart."""
    printed = [round(value, 1) for value in values]
    eligible = {value for value, counts in zip(printed, ranked, strict=True) if counts and not isnan(value)}
    order = sorted(eligible, reverse=largest_first)[:2] if len(eligible) > 1 else []
    return tuple(
        order.index(value) + 1 if counts and value in order else 0
        for value, counts in zip(printed, ranked, strict=True)
    )


def _time_unit(longest_s: float) -> tuple[str, float]:
    if longest_s >= 2 * 3600:
        return "h", 3600.0
    return ("min", 60.0) if longest_s >= 600 else ("s", 1.0)
