"""The main table, in the shape of the papers.

Methods are in rows; each data set has Dice per region, mean and HD95.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.tables.assemble import Draft, assemble, group_comparisons, name_setting
from reports.tables.layout import MethodRows
from reports.tables.table import Table, make_slug
from reports.tables.wording import (
    TUNED,
    describe_metrics,
    describe_scores,
    describe_verdict,
    list_values,
)


def main_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per backbone, pre-training and shots, with the data sets side by side."""
    return list(map(main_table, group_comparisons(comparisons, "dataset")))


def main_table(comparisons: Sequence[MethodComparison]) -> Table:
    """Return the table of some data sets under one backbone and pre-training."""
    rows = MethodRows.of(comparisons)
    columns = [rows.name_column(), rows.cost_column("tuned_m"), rows.cost_column("tuned_pct")]
    for comparison in comparisons:
        columns += rows.score_columns(comparison, levels=3)
    if len(comparisons) == 1:  # a mean over data sets is no time of a run
        columns.append(rows.cost_column("fit_s"))
    columns += rows.note_columns()
    context = name_setting(comparisons[0].setting)[1:]
    draft = Draft(
        kind="main",
        slug=make_slug("main", *list_values(comparisons, "setting.dataset"), *context),
        title="",
        subject="PET methods",
        columns=[column for column in columns if not column.is_missing],
        sentences=[describe_scores(comparisons), *describe_metrics(comparisons), TUNED],
        last=describe_verdict(comparisons),
    )
    return replace(assemble(draft, comparisons), context=make_slug(*context))
