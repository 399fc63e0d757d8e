"""The efficiency table: what each method costs."""

from collections.abc import Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import COSTS
from reports.analysis.tidy import MEAN
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.costs import describe_costs
from reports.tables.layout import MethodRows
from reports.tables.table import Table, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import describe_parameters, describe_scores, describe_verdict


def efficiency_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting of the costs measured; ValueError if no run has a cost."""
    found = []
    for comparison in comparisons:
        rows = MethodRows.of([comparison])
        measured = []
        absent = []
        for column in map(rows.cost_column, COSTS):
            if column.is_missing:
                absent.append(column.key)
            else:
                measured.append(column)
        if not measured:
            continue
        shown = {column.key for column in measured}
        sentences = [describe_scores([comparison])]
        sentences += describe_scopes([comparison], [f"dice/{MEAN}"])
        sentences += describe_parameters([comparison])
        sentences += describe_costs(comparison.results, shown)
        if absent:
            sentences.append(f"Not measured by these runs: {', '.join(absent)}.")
        dice = rows.score_column(comparison, f"dice/{MEAN}")
        columns = [rows.name_column(), *measured, dice]
        slug = make_slug("efficiency", *name_setting(comparison.setting))
        names = ("efficiency", slug, "efficiency", "Cost of PET methods")
        last = describe_verdict([comparison])
        draft = Draft(*names, columns, sentences, last, rows.sections)
        found.append(assemble(draft, [comparison]))
    if not found:
        raise ValueError("report: the efficiency table must have a run that is done, got none")
    return found
