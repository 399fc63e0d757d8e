"""The ablation table: several settings of one method."""

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import PARAMETERS
from reports.names import Names
from reports.records.run import RunResult
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.layout import MethodRows
from reports.tables.table import MISSING, Cell, Column, Head, Table, fill_column, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import (
    describe_metrics,
    describe_parameters,
    describe_scores,
    describe_verdict,
)

ON, OFF = "✓", "✗"  # a component of a method
MARKS = f"{ON}: the component is on; {OFF}: it is off."


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
    columns = [_name_rows(rows, runs, comparison.names), *_swept_columns(runs, comparison.names)]
    columns += map(rows.cost_column, PARAMETERS)
    columns += [*rows.score_columns(comparison), *rows.share_columns(comparison)]
    last = describe_verdict([comparison])
    if len(comparison.rows) > len(runs):
        last.append("Places and ties are among all methods of this setting, not only those shown.")
    slug = make_slug("ablation", name, *name_setting(comparison.setting))
    shown = comparison.names.label(name)
    title = f"ablation · {shown}"
    sentences = [describe_scores([comparison]), *describe_metrics([comparison])]
    if _find_components(runs):
        sentences.append(MARKS)
    sentences += [*describe_scopes([comparison]), *describe_parameters([comparison])]
    draft = Draft("ablation", slug, title, f"Settings of {shown}", columns, sentences, last)
    table = assemble(draft, [comparison])
    starts = tuple(f"{comparison.names.label(run.label)} on " for run in runs)
    return replace(table, notes=tuple(note for note in table.notes if note.startswith(starts)))


def _swept_columns(runs: Sequence[RunResult], names: Names) -> list[Column]:
    """Return a column for each method setting that has several values: marks for components."""
    columns = []
    for key in _find_swept(runs):
        values = [run.settings.get(key, MISSING) for run in runs]
        if key in _find_components(runs):
            cells = tuple(Cell(ON if value else OFF, key=str(value).lower()) for value in values)
            columns.append(Column(key, ("Components", names.setting(key)), cells))
        else:
            head = Head(key, (names.setting(key),))
            columns.append(fill_column(head, list(map(str, values))))
    return columns


def _find_swept(runs: Sequence[RunResult]) -> list[str]:
    """Return the settings that have several values."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if len({str(run.settings.get(key, MISSING)) for run in runs}) > 1]


def _find_components(runs: Sequence[RunResult]) -> set[str]:
    """Return the settings that switch something on or off in all runs."""
    found = set()
    for key in _find_swept(runs):
        if all(isinstance(run.settings.get(key), bool) for run in runs):
            found.add(key)
    return found


def _name_rows(rows: MethodRows, runs: Sequence[RunResult], names: Names) -> Column:
    """Return the column of names, without the components, which have marks of their own."""
    column = rows.name_column()
    components = _find_components(runs)
    cells = []
    for cell, run in zip(column.cells, runs, strict=True):
        if run.label not in names.own:
            cell = replace(cell, text=names.label(_leave_out(run.label, components)))
        cells.append(cell)
    return replace(column, cells=tuple(cells))


def _leave_out(label: str, settings: set[str]) -> str:
    """Return a label such as ``med_adapter[ratio=4,fourier=false]`` without some settings."""
    name, bracket, inside = label.partition("[")
    if not bracket:
        return label
    kept = [item for item in inside[:-1].split(",") if item.partition("=")[0] not in settings]
    return f"{name}[{','.join(kept)}]" if kept else name
