"""The ablation table: several settings of one method."""

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import PARAMETERS
from reports.names import Names
from reports.records.run import RunResult
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.layout import MethodRows
from reports.tables.table import MISSING, Column, Head, Table, fill_column, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import (
    describe_metrics,
    describe_parameters,
    describe_scores,
    describe_verdict,
)


def ablation_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting and method with several settings; ValueError if none has."""
    found = []
    for comparison in comparisons:
        by_method: dict[str, dict[str, RunResult]] = {}
        for result in comparison.results:
            by_method.setdefault(result.method, {}).setdefault(result.label, result)
        for name, variants in by_method.items():
            if len(variants) > 1 and not comparison.mixed:
                found.append(_ablation_table(comparison, name, list(variants.values())))
    if not found:
        raise ValueError(
            "report: an ablation must have a method with several settings in one protocol, "
            'got none (make some with --methods "lora[rank=4,8]")'
        )
    return found


def _ablation_table(comparison: MethodComparison, name: str, runs: Sequence[RunResult]) -> Table:
    rows = MethodRows([comparison], [(run.label, "") for run in runs])
    columns = [rows.name_column(), *_swept_columns(runs, comparison.names)]
    columns += map(rows.cost_column, PARAMETERS)
    columns += [*rows.score_columns(comparison), *rows.share_columns(comparison)]
    last = describe_verdict([comparison])
    if len(comparison.rows) > len(runs):
        last.append("Places and ties are among all methods of this setting, not only those shown.")
    slug = make_slug("ablation", name, *name_setting(comparison.setting))
    shown = comparison.names.label(name)
    title = f"ablation · {shown}"
    sentences = [describe_scores([comparison]), *describe_metrics([comparison])]
    sentences += [*describe_scopes([comparison]), *describe_parameters([comparison])]
    draft = Draft("ablation", slug, title, f"Settings of {shown}", columns, sentences, last)
    table = assemble(draft, [comparison])
    starts = tuple(f"{comparison.names.label(run.label)} on " for run in runs)
    return replace(table, notes=tuple(note for note in table.notes if note.startswith(starts)))


def _swept_columns(runs: Sequence[RunResult], names: Names) -> list[Column]:
    """Return a column of words for each method setting that has several values."""
    columns = []
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        values = [str(run.settings.get(key, MISSING)) for run in runs]
        if len(set(values)) > 1:
            columns.append(fill_column(Head(key, (names.setting(key),)), values))
    return columns
