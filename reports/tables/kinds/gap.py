"""The table of the tuning gap: default settings beside those that a study has chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.intervals import estimate_mean, subtract
from reports.analysis.tidy import MEAN, average_pair, case_table
from reports.names import Names
from reports.records.run import RunResult, Status
from reports.tables.assemble import Draft, assemble, group_comparisons, name_setting
from reports.tables.conditions import SEEN_MARK, check_columns, describe_runs, has_seen_held_out
from reports.tables.kinds.differences import DIFFERENCE, explain_rough, interval_cell
from reports.tables.table import Cell, Head, Table, fill_columns, make_slug

GAP_HEADS = (
    Head("method", ("Method",)),
    Head("settings", ("Tuned settings",)),
    Head("n", ("n",), 0),
    Head("default", ("Default Dice (%)",), 1),
    Head("tuned", ("Tuned Dice (%)",), 1),
    DIFFERENCE,
    Head("study", ("Study",)),
)
METHOD_OF_GAP = (
    "Mean Dice over the n held-out cases that both have, each averaged over its seeds; "
    "95 % interval of the difference over cases."
)


def gap_tables(
    comparisons: Sequence[MethodComparison], *, allow_mixed: bool = False
) -> list[Table]:
    """Return a table per setting and budget: each method's default beside its tuned settings.

    Raises: ValueError if no method has both, or if their protocols differ in more than the budget
    and ``allow_mixed`` is not set.
    """
    found = []
    for default, tuned in _iter_pairs(comparisons):
        rows = list(_iter_rows(default, tuned))
        if rows:
            check_columns("gap", [default, tuned], "tuned", allow_mixed=allow_mixed)
            found.append(_gap_table(default, tuned, rows))
    if not found:
        wanted = "a method with default and with tuned settings"
        raise ValueError(f"report: the tuning gap must have {wanted}, got none")
    return found


def _iter_pairs(
    comparisons: Sequence[MethodComparison],
) -> Iterator[tuple[MethodComparison, MethodComparison]]:
    for group in group_comparisons(comparisons, "tuned"):
        whole = [comparison for comparison in group if not comparison.mixed]
        for default in whole:
            for tuned in whole:
                if tuned.setting.tuned and not default.setting.tuned:
                    yield default, tuned


def _iter_rows(default: MethodComparison, tuned: MethodComparison) -> Iterator[dict[str, Any]]:
    """Yield a row per method and tuned settings; those of one study a fold share a row."""
    by_method: dict[str, list[RunResult]] = {}
    for run in tuned.results:
        if run.status == Status.DONE:
            by_method.setdefault(run.method, []).append(run)
    for method, runs in by_method.items():
        plain = []
        for run in default.results:
            if run.label == run.method == method and run.status == Status.DONE:
                plain.append(run)
        for group in _split_rows(runs) if plain else []:
            yield _describe_row(method, plain, group, tuned.names)


def _split_rows(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """Return the runs of each row: all where a fold has one label, else those of each label."""
    labels: dict[int, set[str]] = {}
    for run in runs:
        labels.setdefault(run.fold, set()).add(run.label)
    if all(len(found) == 1 for found in labels.values()):
        return [list(runs)]
    rows: dict[str, list[RunResult]] = {}
    for run in runs:
        rows.setdefault(run.label, []).append(run)
    return list(rows.values())


def _describe_row(
    method: str, default: Sequence[RunResult], tuned: Sequence[RunResult], names: Names
) -> dict[str, Any]:
    # regions that are undefined for one of the two count for neither
    frames = average_pair(case_table(default), case_table(tuned))
    pairs = pd.concat([frame[MEAN] for frame in frames], axis="columns").dropna()
    before, after = pairs.iloc[:, 0], pairs.iloc[:, 1]
    gap = estimate_mean(subtract(after.to_numpy(float), before.to_numpy(float)))
    settings = dict.fromkeys(run.label.partition("[")[2].rstrip("]") for run in tuned)
    mark = SEEN_MARK if any(map(has_seen_held_out, tuned)) else ""
    return {
        "method": Cell(names.label(method), mark=mark, key=method),
        "settings": " | ".join(each or "the defaults" for each in settings),
        "n": len(pairs),
        "default": 100 * before.mean(),
        "tuned": 100 * after.mean(),
        "difference": interval_cell(gap.interval()),
        "study": " | ".join(dict.fromkeys(run.study for run in tuned)),
    }


def _gap_table(
    default: MethodComparison, tuned: MethodComparison, rows: Sequence[dict[str, Any]]
) -> Table:
    columns = fill_columns(GAP_HEADS, rows)
    sentences = [METHOD_OF_GAP, *explain_rough(columns), describe_runs([default, tuned], "tuned")]
    slug = make_slug("gap", *name_setting(tuned.setting))
    subject = "Default against tuned settings of PET methods"
    draft = Draft("gap", slug, "tuning gap", subject, columns, sentences, axis="tuned")
    return replace(assemble(draft, [default, tuned]), notes=())
