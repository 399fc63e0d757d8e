"""The main table, as in papers: methods in rows, Dice per region, mean and HD95 by data set."""

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import PARAMETERS
from reports.tables import wording
from reports.tables.assemble import Draft, assemble, group_comparisons, name_setting
from reports.tables.kinds.differences import explain_rough
from reports.tables.layout import MethodRows
from reports.tables.table import Table, make_slug
from reports.tables.undefined import describe_scopes


def main_tables(comparisons: Sequence[MethodComparison], *, intervals: bool = False) -> list[Table]:
    """Return one table per backbone, pre-training and shots, with the data sets side by side."""
    groups = group_comparisons(comparisons, "dataset")
    return [main_table(group, intervals=intervals) for group in groups]


def main_table(comparisons: Sequence[MethodComparison], *, intervals: bool = False) -> Table:
    """Return the table of some data sets under one backbone and pre-training.

    ``intervals``: means have 95 % intervals instead of standard deviations.
    """
    rows = MethodRows.of(comparisons, intervals=intervals)
    columns = [rows.name_column(), *map(rows.cost_column, PARAMETERS)]
    for comparison in comparisons:
        columns += rows.score_columns(comparison, levels=3)
        columns += rows.share_columns(comparison, levels=3)
    if len(comparisons) == 1:  # a mean over data sets is no time of a run
        columns.append(rows.cost_column("fit_s"))
    columns += rows.note_columns()
    context = name_setting(comparisons[0].setting)[1:]
    columns = [column for column in columns if not column.is_missing]
    slug = make_slug("main", *wording.list_values(comparisons, "setting.dataset"), *context)
    sentences = [wording.describe_scores(comparisons, intervals=intervals)]
    sentences += [*explain_rough(columns), *wording.describe_metrics(comparisons)]
    sentences += describe_scopes(comparisons)
    sentences += [*wording.describe_parameters(comparisons), *wording.describe_fit(columns)]
    last = wording.describe_verdict(comparisons)
    draft = Draft("main", slug, "", "PET methods", columns, sentences, last, rows.sections)
    return replace(assemble(draft, comparisons), context=make_slug(*context))
