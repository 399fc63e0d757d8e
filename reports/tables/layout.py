"""The rows of tables over methods, and the columns of scores, costs and notes over them."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.claims.robustness import mean_intervals
from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import PARAMETERS, QUANTITIES, list_shown, score_keys
from reports.analysis.scopes import Scope
from reports.names import Names
from reports.records.metrics import Metric
from reports.records.run import REFERENCE
from reports.tables.table import (
    MISSING,
    Cell,
    Column,
    Head,
    add_interval,
    fill_column,
    number_cell,
    rank_cells,
)

RowKey = tuple[str, str]  # label; the protocol where several are mixed, else ""


REFERENCES = "reference: 3-D networks trained whole"  # heading of their rows


def find_references(comparisons: Sequence[MethodComparison]) -> set[str]:
    """Return the labels of the reference networks."""
    labels: set[str] = set()
    for comparison in comparisons:
        rows = comparison.rows
        labels |= set(rows["method"][rows["kind"] == REFERENCE])
    return labels


def number_rows(comparison: MethodComparison) -> dict[RowKey, int]:
    """Return the number of each method's row in the comparison."""
    protocols = list(comparison.rows["protocol_id"])
    if not comparison.mixed:
        protocols = [""] * len(protocols)
    keys = zip(comparison.rows["method"], protocols, strict=True)
    return {key: number for number, key in enumerate(keys)}


@dataclass(frozen=True)
class MethodRows:
    """The rows of a table: methods, in one or several settings."""

    comparisons: Sequence[MethodComparison]
    keys: Sequence[RowKey]
    intervals: bool = False  # of means, instead of standard deviations

    @staticmethod
    def of(comparisons: Sequence[MethodComparison], *, intervals: bool = False) -> "MethodRows":
        keys: dict[RowKey, int] = {}
        for comparison in comparisons:
            keys |= number_rows(comparison)
        references = find_references(comparisons)
        ordered = sorted(keys, key=lambda key: key[0] in references)
        return MethodRows(comparisons, ordered, intervals)

    @property
    def names(self) -> Names:
        return self.comparisons[0].names

    @property
    def sections(self) -> dict[int, str]:
        """The heading above the reference networks, by the number of the first row of them."""
        references = find_references(self.comparisons)
        for number, (label, _) in enumerate(self.keys):
            if label in references and number:
                return {number: REFERENCES}
        return {}

    def name_column(self) -> Column:
        """Return the column of labels, with the protocol where several are mixed."""
        names = []
        for label, protocol in self.keys:
            end = f" [{protocol}]" if protocol else ""
            names.append(Cell(f"{self.names.label(label)}{end}", key=f"{label}{end}"))
        return fill_column(Head("method", (self.names.find("method", "Method"),)), names)

    def score_columns(self, comparison: MethodComparison, levels: int = 2) -> list[Column]:
        shown = list_shown(comparison.regions)
        return [self.score_column(comparison, key, levels) for key in shown]

    def score_column(self, comparison: MethodComparison, key: str, levels: int = 2) -> Column:
        """Return a column of scores; a method that is not finished has its status instead.

        The three levels of headings are data set, metric and region; the lowest ``levels`` stay.
        """
        metric, region = score_keys(comparison.regions)[key]
        numbers = number_rows(comparison)
        cells = []
        ranked = []
        for row in self.keys:
            number = numbers.get(row)
            cells.append(_score_cell(comparison, number, key, metric))
            ranked.append(number is not None and bool(comparison.lines[number][f"{key}_ranked"]))
        name = name_with_cases(comparison.heading, comparison)
        heading = self.names.find(metric.name, metric.heading)
        heads = (name, "", heading)
        if metric.columns == "regions":
            heads = (name, heading, self.names.find(region))
        if self.intervals:
            cells = _add_intervals(cells, self.keys, comparison.scopes.get(key), metric)
        places = rank_cells(cells, ranked, metric.digits, largest_first=metric.largest_first)
        return Column(f"{comparison.setting.dataset}:{key}", heads[-levels:], places)

    def share_columns(self, comparison: MethodComparison, levels: int = 2) -> list[Column]:
        """Return a column for each shown score that some method leaves undefined in some case."""
        numbers = number_rows(comparison)
        columns = []
        for key in list_shown(comparison.regions):
            shares = [nan] * len(self.keys)
            for place, row in enumerate(self.keys):
                if row in numbers:
                    shares[place] = 100 * float(comparison.lines[numbers[row]][f"{key}_share"])
            if any(share < 100 for share in shares) and any(share > 0 for share in shares):
                metric, region = score_keys(comparison.regions)[key]
                name = name_with_cases(comparison.heading, comparison)
                heads = (name, f"{metric.title} defined (%)", self.names.find(region))
                head = Head(f"{comparison.setting.dataset}:{key}_defined_pct", heads[-levels:], 0)
                columns.append(fill_column(head, shares))
        return columns

    def cost_column(self, cost: str) -> Column:
        """Return a column of costs, averaged over the settings that have the method."""
        quantity = QUANTITIES[cost]
        means = []
        for key in self.keys:
            found = [line[cost] for _, line in self._find_lines(key)]
            means.append(float(pd.Series(found, dtype=float).mean()))
        head = quantity.head
        if cost == "fit_s":
            unit, length_s = time_unit(float(np.nanmax([0.0, *means])))
            head = f"fit ({unit})"
            means = [mean / length_s for mean in means]
        heads = (quantity.group, self.names.find(cost, head))
        column = fill_column(Head(cost, heads, quantity.digits), means)
        return replace(column, optional=cost in PARAMETERS[2:])

    def note_columns(self) -> list[Column]:
        """Return the column that says which numbers are of some runs only, if there are any."""
        notes = []
        for key in self.keys:
            found = []
            for comparison, line in self._find_lines(key):
                if line["n_runs"] and line["note"]:
                    prefix = f"{comparison.heading}: " if len(self.comparisons) > 1 else ""
                    found.append(f"{prefix}{line['note']}")
            notes.append("; ".join(found))
        return [fill_column(Head("note", ("Note",)), notes)] if any(notes) else []

    def _find_lines(self, key: RowKey) -> Iterator[tuple[MethodComparison, Mapping[Hashable, Any]]]:
        for comparison in self.comparisons:
            number = number_rows(comparison).get(key)
            if number is not None:
                yield comparison, comparison.lines[number]


def _score_cell(comparison: MethodComparison, number: int | None, key: str, metric: Metric) -> Cell:
    by_region = metric.columns == "regions"  # these tell how a method ended, and have spreads
    if number is None:
        return Cell("missing" if by_region else MISSING)
    line = comparison.lines[number]
    if by_region and not line["n_runs"]:
        return Cell(str(line["note"]))
    spread = float(comparison.spreads[key][number]) if by_region else nan
    cell = number_cell(float(line[key]), metric.digits, spread)
    if cell.is_number and is_of_own_cases(comparison, number, key):
        return Cell(f"{cell.text} ({line[f'{key}_n']} of {line['n_cases']})")
    verdict = comparison.verdicts.get(key)
    if verdict is not None and line["method"] in verdict.tied:
        cell = replace(cell, tied=True)
    return cell


def _add_intervals(
    cells: Sequence[Cell], rows: Sequence[RowKey], scope: Scope | None, metric: Metric
) -> list[Cell]:
    """Return the cells without spreads; those of ranked methods with the intervals of means."""
    intervals = mean_intervals(scope) if scope else {}
    found = []
    for cell, (label, _) in zip(cells, rows, strict=True):
        if cell.is_number:
            plain = number_cell(cell.value, metric.digits)
            if label in intervals:
                interval = intervals[label]
                ends = (metric.factor * interval.low, metric.factor * interval.high)
                plain = add_interval(plain, metric.digits, ends, rough=interval.rough)
            cell = replace(plain, tied=cell.tied)
        found.append(cell)
    return found


def is_of_own_cases(comparison: MethodComparison, number: int, key: str) -> bool:
    """Return whether a row's mean is over other cases than those of the ranked methods."""
    line = comparison.lines[number]
    if line[f"{key}_ranked"] or not line["n_runs"]:
        return False
    scope = comparison.scopes.get(key)
    left_out = scope is not None and bool(scope.ranked) and line["method"] in scope.left_out
    return left_out or line[f"{key}_n"] < line["n_cases"]


def name_with_cases(name: str, comparison: MethodComparison) -> str:
    """Return a heading that says how many cases the numbers below it are of."""
    return f"{name} (n = {comparison.rows['n_cases'].max()})"


def time_unit(longest_s: float) -> tuple[str, float]:
    """Return the unit in which times up to the longest read well, and its length in seconds."""
    if longest_s >= 2 * 3600:
        return "h", 3600.0
    if longest_s >= 600:
        return "min", 60.0
    return "s", 1.0
