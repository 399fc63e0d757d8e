"""Tables of paired differences: every method against a reference, tuned against default settings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.analysis.statistics import Interval, TooFewError, bootstrap_mean, compare_with
from reports.analysis.tidy import score_matrix
from reports.records.run import RunResult, Status
from reports.tables.table import MISSING, Cell, Column, Table, make_slug, number_cell, word_column
from reports.tables.wording import describe_protocol, describe_setting, list_runs

METHOD_OF_TEST = (
    "Two-sided Wilcoxon signed-rank test paired over cases, each averaged over its seeds; Holm's correction over the "
    "rows; 95 % bootstrap interval of the mean difference; r: matched-pairs rank-biserial correlation; d: Cohen's d_z."
)


def comparison_tables(tables: Sequence[MethodComparison], reference: str = "") -> list[Table]:
    """Return one table per setting: every finished method against ``reference``, by default the first method.

    Raises: ValueError if a setting has one method, lacks the reference, has too few cases, or mixes
    protocols.
    """
    return [_comparison_table(table, reference) for table in tables]


def _comparison_table(table: MethodComparison, reference: str) -> Table:
    if table.mixed:
        raise ValueError(
            f"report: a comparison on {table.setting} must have one protocol, got {table.difference}"
        )
    shown = [
        label for label, counts in zip(table.rows["method"], table.ranked, strict=True) if counts
    ]
    if len(shown) < 2:
        got = f"{', '.join(shown) or 'none'} with all runs done"
        raise TooFewError(
            f"report: a comparison on {table.setting} must have two methods, got {got}"
        )
    compared = compare_with(table.scores, reference or shown[0])
    columns = _test_columns(compared)
    first = str(compared["reference"].iloc[0])
    left_out = [label for label in table.rows["method"] if label not in shown]
    return Table(
        kind="comparison",
        slug=make_slug(
            "comparison", table.setting.dataset, table.setting.backbone, table.setting.weights
        ),
        title=f"difference to {first} · {table.setting.dataset} · {table.setting.backbone}",
        columns=columns,
        caption=(
            *describe_setting([table], f"Difference of mean Dice to {first}"),
            METHOD_OF_TEST,
            *([f"Not all runs done, so not compared: {', '.join(left_out)}."] if left_out else []),
            describe_protocol([table]),
        ),
        comments=list_runs(table.results),
    )


def _test_columns(compared: pd.DataFrame) -> tuple[Column, ...]:
    return (
        word_column("method", "Method", compared["method"].to_list(), 1),
        _numbers("n", "n", compared["n"].to_list(), 0),
        _differences(
            [Interval(row.difference, row.low, row.high) for row in compared.itertuples()]  # type: ignore[arg-type]
        ),
        _p_values("p", "p", compared["p"].to_list()),
        _p_values("p_holm", "p (Holm)", compared["p_holm"].to_list()),
        _numbers("rank_biserial", "r", compared["rank_biserial"].to_list(), 2),
        _numbers("cohen_dz", "d", compared["cohen_dz"].to_list(), 2),
    )


def _numbers(key: str, head: str, values: Sequence[float], digits: int) -> Column:
    return Column(key, (head,), tuple(number_cell(float(value), digits) for value in values))


def _p_values(key: str, head: str, values: Sequence[float]) -> Column:
    return Column(
        key, (head,), tuple(Cell(MISSING) if p != p else number_cell(float(p), 3) for p in values)
    )


def _differences(intervals: Sequence[Interval]) -> Column:
    return Column(
        "difference", ("Difference (% points) [95 % CI]",), tuple(map(interval_cell, intervals))
    )


def interval_cell(interval: Interval) -> Cell:
    """Return a difference of Dice in percentage points with its interval; the interval is left out if there is none."""
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    if value != value:
        return Cell(MISSING)
    return Cell(f"{value:+.1f}" + (f" [{low:+.1f}, {high:+.1f}]" if low == low else ""))


def gap_tables(tables: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting: each method's default settings beside those that a tuning study chose.

    A run counts as tuned if it names its study; of several tuned settings of a method each has a
    row.

    Raises: ValueError if no method has both.
    """
    found = []
    for table in tables:
        done = [run for run in table.results if run.status == Status.DONE]
        default = {
            run.method: run.label for run in done if not run.study and run.label == run.method
        }
        tuned = {run.label: run for run in done if run.study and run.method in default}
        if tuned and not table.mixed:
            found.append(_gap_table(table, default, tuned))
    if not found:
        raise ValueError(
            "report: the tuning gap must have a method with default and with tuned settings, got none"
        )
    return found


def _gap_table(
    table: MethodComparison, default: dict[str, str], tuned: dict[str, RunResult]
) -> Table:
    # runs of both kinds may carry one label where the study has chosen the defaults: keep them
    # apart
    of_default = score_matrix([run for run in table.results if not run.study])
    of_tuned = score_matrix([run for run in table.results if run.study])
    gaps = [
        bootstrap_mean((of_tuned[label] - of_default[default[run.method]]).dropna().to_numpy(float))
        for label, run in tuned.items()
    ]
    columns = (
        word_column("method", "Method", [run.method for run in tuned.values()], 1),
        word_column("settings", "Tuned settings", [_changes(label) for label in tuned], 1),
        _numbers(
            "default",
            "Default Dice (%)",
            [100 * of_default[default[r.method]].mean() for r in tuned.values()],
            1,
        ),
        _numbers("tuned", "Tuned Dice (%)", [100 * of_tuned[label].mean() for label in tuned], 1),
        _differences(gaps),
        word_column("study", "Study", [run.study for run in tuned.values()], 1),
    )
    return Table(
        kind="gap",
        slug=make_slug("gap", table.setting.dataset, table.setting.backbone, table.setting.weights),
        title=f"tuning gap · {table.setting.dataset} · {table.setting.backbone}",
        columns=columns,
        caption=(
            *describe_setting([table], "Default against tuned settings of PET methods"),
            "Mean Dice over the held-out cases, which no study has seen; 95 % bootstrap interval of the difference.",
            describe_protocol([table]),
        ),
        comments=list_runs(table.results),
    )


def _changes(label: str) -> str:
    return label.partition("[")[2].rstrip("]") or "the defaults"
