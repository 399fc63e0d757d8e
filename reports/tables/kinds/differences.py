"""Tables of paired differences: methods against a reference, tuned against default settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.analysis.statistics import Interval, TooFewError, bootstrap_mean, compare_with
from reports.analysis.tidy import MEAN, average_pair, case_table
from reports.records.run import RunResult, Status
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.table import MISSING, Cell, Head, Table, fill_columns, make_slug
from reports.tables.undefined import describe_scopes

DIFFERENCE = Head("difference", ("Difference (% points) [95 % CI]",), 1)
COMPARISON_HEADS = (
    Head("method", ("Method",)),
    Head("n", ("n",), 0),
    DIFFERENCE,
    Head("p", ("p",), 3),
    Head("p_holm", ("p (Holm)",), 3),
    Head("rank_biserial", ("r",), 2),
    Head("cohen_dz", ("d",), 2),
)
METHOD_OF_TEST = (
    "Two-sided Wilcoxon signed-rank test paired over cases, each averaged over its seeds; "
    "Holm's correction over the rows; 95 % bootstrap interval of the mean difference; "
    "r: matched-pairs rank-biserial correlation; d: Cohen's d_z."
)
GAP_HEADS = (
    Head("method", ("Method",)),
    Head("settings", ("Tuned settings",)),
    Head("default", ("Default Dice (%)",), 1),
    Head("tuned", ("Tuned Dice (%)",), 1),
    DIFFERENCE,
    Head("study", ("Study",)),
)
METHOD_OF_GAP = (
    "Mean Dice over the held-out cases, which no study has seen; "
    "95 % bootstrap interval of the difference."
)


def comparison_tables(comparisons: Sequence[MethodComparison], reference: str = "") -> list[Table]:
    """Return one table per setting: each finished method against a reference, or the first one.

    Raises: ValueError if a setting has one method, no reference, too few cases or mixed protocols.
    """
    return [_comparison_table(comparison, reference) for comparison in comparisons]


def _comparison_table(comparison: MethodComparison, reference: str) -> Table:
    where = f"report: a comparison on {comparison.setting}"
    if comparison.mixed:
        raise ValueError(f"{where} must have one protocol, got {comparison.difference}")
    shown = []
    left_out = []
    for label, counts in zip(comparison.rows["method"], comparison.ranked, strict=True):
        if counts:
            shown.append(label)
        else:
            left_out.append(label)
    if len(shown) < 2:
        got = ", ".join(shown) or "none"
        raise TooFewError(f"{where} must have two methods, got {got} with all runs done")
    compared = compare_with(comparison.scores, reference or shown[0])
    rows: list[Any] = compared.to_dict("records")
    for row in rows:
        row["difference"] = interval_cell(row["difference"])
    first = rows[0]["reference"]
    sentences = [METHOD_OF_TEST, *describe_scopes([comparison], [f"dice/{MEAN}"])]
    if left_out:
        sentences.append(f"Not all runs done, so not compared: {', '.join(left_out)}.")
    slug = make_slug("comparison", *name_setting(comparison.setting)[:3])
    subject = f"Difference of mean Dice to {first}"
    columns = fill_columns(COMPARISON_HEADS, rows)
    draft = Draft("comparison", slug, f"difference to {first}", subject, columns, sentences)
    return replace(assemble(draft, [comparison]), notes=())


def interval_cell(interval: Interval) -> Cell:
    """Return a difference of Dice in percentage points, with its interval where it has one."""
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    if value != value:
        return Cell(MISSING)
    if low != low:
        return Cell(f"{value:+.1f}")
    return Cell(f"{value:+.1f} [{low:+.1f}, {high:+.1f}]")


def gap_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting: defaults beside each setting of runs that name a study.

    Raises: ValueError if no method has both.
    """
    found = []
    for comparison in comparisons:
        done = [run for run in comparison.results if run.status == Status.DONE]
        default = {run.method for run in done if not run.study and run.label == run.method}
        tuned = {run.label: run for run in done if run.study and run.method in default}
        if tuned and not comparison.mixed:
            found.append(_gap_table(comparison, list(tuned.values())))
    if not found:
        wanted = "a method with default and with tuned settings"
        raise ValueError(f"report: the tuning gap must have {wanted}, got none")
    return found


def _gap_table(comparison: MethodComparison, tuned: Sequence[RunResult]) -> Table:
    # both kinds of runs carry one label where the study has chosen the defaults: keep them apart
    done = [run for run in comparison.results if run.status == Status.DONE]
    rows: list[dict[str, Any]] = []
    for run in tuned:
        default_runs = [each for each in done if not each.study and each.label == run.method]
        tuned_runs = [each for each in done if each.study and each.label == run.label]
        frames = average_pair(case_table(default_runs), case_table(tuned_runs))
        pairs = pd.concat([frame[MEAN] for frame in frames], axis="columns").dropna()
        before, after = pairs.iloc[:, 0], pairs.iloc[:, 1]
        gap = bootstrap_mean((after - before).to_numpy(float))
        settings = run.label.partition("[")[2].rstrip("]") or "the defaults"
        row: dict[str, Any] = {"method": run.method, "settings": settings, "study": run.study}
        row |= {"default": 100 * before.mean(), "tuned": 100 * after.mean()}
        rows.append(row | {"difference": interval_cell(gap)})
    slug = make_slug("gap", *name_setting(comparison.setting)[:3])
    subject = "Default against tuned settings of PET methods"
    columns = fill_columns(GAP_HEADS, rows)
    draft = Draft("gap", slug, "tuning gap", subject, columns, [METHOD_OF_GAP])
    return replace(assemble(draft, [comparison]), notes=())
