"""The table of the tuning gap: default settings beside those that a study has chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reports.analysis.comparison import MethodComparison
from reports.analysis.paired.intervals import Interval, estimate_mean, subtract
from reports.analysis.tidy import MEAN, average_pair, case_table
from reports.names import Names
from reports.records.run import RunResult, Status
from reports.tables.assemble import Draft, assemble, group_comparisons, name_setting
from reports.tables.conditions import SEEN_MARK, check_columns, describe_runs, has_seen_held_out
from reports.tables.kinds.differences import DIFFERENCE, explain_rough, interval_cell
from reports.tables.table import Cell, Head, Table, fill_columns, make_slug


@dataclass(frozen=True)
class Gap:
    """A method with default and with tuned settings, on the cases that both have."""

    method: str
    settings: tuple[str, ...]  # that were chosen, as in labels
    n_cases: int
    default: float  # mean Dice, fraction
    tuned: float
    difference: Interval  # tuned minus default, over cases
    studies: tuple[str, ...]
    seen: bool  # whether the study's training part has held-out cases


@dataclass(frozen=True)
class GapSetting:
    """The gaps of one setting and budget."""

    default: MethodComparison
    tuned: MethodComparison
    gaps: tuple[Gap, ...]


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
    found = find_gaps(comparisons)
    if not found:
        wanted = "a method with default and with tuned settings"
        raise ValueError(f"report: the tuning gap must have {wanted}, got none")
    for each in found:
        check_columns("gap", [each.default, each.tuned], "tuned", allow_mixed=allow_mixed)
    return list(map(_gap_table, found))


def find_gaps(comparisons: Sequence[MethodComparison]) -> list[GapSetting]:
    """Return the gaps of each setting and budget in which a method has both."""
    found = []
    for default, tuned in _iter_pairs(comparisons):
        gaps = tuple(_iter_gaps(default, tuned))
        if gaps:
            found.append(GapSetting(default, tuned, gaps))
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


def _iter_gaps(default: MethodComparison, tuned: MethodComparison) -> Iterator[Gap]:
    """Yield the gap of each method and tuned settings; those of one study a fold are together."""
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
            yield _measure_gap(method, plain, group)


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


def _measure_gap(method: str, default: Sequence[RunResult], tuned: Sequence[RunResult]) -> Gap:
    # regions that are undefined for one of the two count for neither
    frames = average_pair(case_table(default), case_table(tuned))
    pairs = pd.concat([frame[MEAN] for frame in frames], axis="columns").dropna()
    before, after = pairs.iloc[:, 0], pairs.iloc[:, 1]
    gap = estimate_mean(subtract(after.to_numpy(float), before.to_numpy(float)))
    return Gap(
        method=method,
        settings=tuple(dict.fromkeys(run.label.partition("[")[2].rstrip("]") for run in tuned)),
        n_cases=len(pairs),
        default=float(before.mean()),
        tuned=float(after.mean()),
        difference=gap.interval(),
        studies=tuple(dict.fromkeys(run.study for run in tuned)),
        seen=any(map(has_seen_held_out, tuned)),
    )


def _gap_table(found: GapSetting) -> Table:
    default, tuned = found.default, found.tuned
    columns = fill_columns(GAP_HEADS, [_fill_row(gap, tuned.names) for gap in found.gaps])
    sentences = [METHOD_OF_GAP, *explain_rough(columns), describe_runs([default, tuned], "tuned")]
    slug = make_slug("gap", *name_setting(tuned.setting))
    subject = "Default against tuned settings of PET methods"
    draft = Draft("gap", slug, "tuning gap", subject, columns, sentences, axis="tuned")
    return replace(assemble(draft, [default, tuned]), notes=())


def _fill_row(gap: Gap, names: Names) -> dict[str, Any]:
    mark = SEEN_MARK if gap.seen else ""
    return {
        "method": Cell(names.label(gap.method), mark=mark, key=gap.method),
        "settings": " | ".join(each or "the defaults" for each in gap.settings),
        "n": gap.n_cases,
        "default": 100 * gap.default,
        "tuned": 100 * gap.tuned,
        "difference": interval_cell(gap.difference),
        "study": " | ".join(gap.studies),
    }
