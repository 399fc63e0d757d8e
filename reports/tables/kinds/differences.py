"""Tables of paired differences: methods against a reference."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.intervals import LEAST_FOR_COVERAGE, Interval
from reports.analysis.statistics import TooFewError, compare_with
from reports.analysis.tidy import MEAN
from reports.tables import wording
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.table import (
    MISSING,
    ROUGH_MARK,
    Cell,
    Column,
    Head,
    Table,
    fill_columns,
    make_slug,
)
from reports.tables.undefined import describe_scopes

DIFFERENCE = Head("difference", ("Difference (% points) [95 % CI]",), 1)
COMPARISON_HEADS = (
    Head("method", ("Method",)),
    Head("n", ("n",), 0),
    DIFFERENCE,
    Head("p", ("p",), 3),
    Head("p_corrected", ("p (corrected)",), 3),
    Head("p_wilcoxon_holm", ("Wilcoxon p (Holm)",), 3),
    Head("rank_biserial", ("r",), 2),
    Head("cohen_dz", ("d",), 2),
)
COLUMN_OF_P = "p and 95 % interval:"
COLUMNS_OF_TEST = (
    "p (corrected): step-down max-T over the rows; Wilcoxon p: signed-rank test over cases alone, "
    "Holm's correction over the rows; r: matched-pairs rank-biserial correlation; d: Cohen's d_z."
)
ROUGH = f"{ROUGH_MARK}: of fewer than {LEAST_FOR_COVERAGE} cases, so that 95 % is not assured."


def comparison_tables(comparisons: Sequence[MethodComparison], reference: str = "") -> list[Table]:
    """Return one table per setting: each finished method against a reference, or the first one.

    Raises: ValueError if a setting has one method, no reference, too few cases or mixed protocols.
    """
    return [_comparison_table(comparison, reference) for comparison in comparisons]


def _comparison_table(comparison: MethodComparison, reference: str) -> Table:
    where = f"report: a comparison on {comparison.title}"
    if comparison.mixed:
        raise ValueError(f"{where} must have one protocol, got {comparison.difference}")
    shown = [label for label in comparison.rows["method"] if label in comparison.scores.columns]
    if len(shown) < 2:
        got = ", ".join(shown) or "none"
        raise TooFewError(f"{where} must have two methods, got {got} with all runs done")
    compared = compare_with(comparison.scores, reference or shown[0], comparison.runs)
    rows: list[Any] = compared.to_dict("records")
    for row in rows:
        row["difference"] = interval_cell(row["difference"])
        row["method"] = name_cell(row["method"], comparison)
    first = comparison.names.label(rows[0]["reference"])
    columns = fill_columns(COMPARISON_HEADS, rows)
    test = wording.describe_test(comparison, comparison.verdicts[f"dice/{MEAN}"])
    sentences = [f"{COLUMN_OF_P} {test}.", COLUMNS_OF_TEST, *explain_rough(columns)]
    sentences += describe_scopes([comparison], [f"dice/{MEAN}"])
    sentences += describe_unfinished(comparison)
    slug = make_slug("comparison", *name_setting(comparison.setting))
    subject = f"Difference of mean Dice to {first}"
    draft = Draft("comparison", slug, f"difference to {first}", subject, columns, sentences)
    return replace(assemble(draft, [comparison]), notes=())


def name_cell(label: str, comparison: MethodComparison) -> Cell:
    """Return the name of a method."""
    return Cell(comparison.names.label(label), key=label)


def interval_cell(interval: Interval) -> Cell:
    """Return a difference of Dice in percentage points, with its interval where it has one."""
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    if value != value:
        return Cell(MISSING)
    if low != low:
        return Cell(f"{value:+z.1f}", value)
    mark = f" {ROUGH_MARK}" if interval.rough else ""
    return Cell(f"{value:+z.1f} [{low:+z.1f}, {high:+z.1f}]{mark}", value, low=low, high=high)


def describe_unfinished(comparison: MethodComparison) -> list[str]:
    """Return which methods are not compared since a run of them is not done."""
    left_out = []
    for label, counts in zip(comparison.rows["method"], comparison.ranked, strict=True):
        if not counts:
            left_out.append(comparison.names.label(label))
    return [f"Not all runs done, so not compared: {', '.join(left_out)}."] if left_out else []


def explain_rough(columns: Sequence[Column]) -> list[str]:
    """Return what the mark of a rough interval means if a cell has it."""
    marked = any(cell.text.endswith(ROUGH_MARK) for column in columns for cell in column.cells)
    return [ROUGH] if marked else []
