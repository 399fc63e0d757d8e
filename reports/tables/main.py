"""The main table, in the shape of the papers: methods in rows, for each data set Dice per region, mean and HD95."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.comparison import MethodComparison
from reports.tables.layout import (
    LEVELS,
    add_legend,
    align,
    cost_column,
    method_names,
    note_of,
    score_columns,
)
from reports.tables.table import MISSING, Table, make_slug, word_column
from reports.tables.wording import (
    describe_metrics,
    describe_protocol,
    describe_scores,
    describe_setting,
    describe_verdict,
    list_runs,
)


def main_tables(tables: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per backbone, pre-training and shots, with the data sets side by side."""
    groups: dict[tuple[object, ...], list[MethodComparison]] = {}
    for table in tables:
        groups.setdefault(
            (table.setting.backbone, table.setting.weights, table.setting.shots), []
        ).append(table)
    return [main_table(group) for group in groups.values()]


def main_table(tables: Sequence[MethodComparison]) -> Table:
    """Return the table of some data sets under one backbone and pre-training."""
    names = method_names(tables)
    columns = [word_column("method", "Method", list(names.values()), LEVELS)]
    columns += [cost_column(tables, list(names), key) for key in ("tuned_m", "tuned_pct")]
    for table in tables:
        rows = align(table, list(names))
        columns += score_columns(table, rows, LEVELS)
    if len(tables) == 1:  # a mean over data sets would be nobody's time
        columns.append(cost_column(tables, list(names), "fit_s"))
    notes = [note_of(tables, key) for key in names]
    if any(notes):
        columns.append(word_column("note", "Note", notes, LEVELS))
    columns = [
        column
        for column in columns
        if column.words or any(cell.text != MISSING for cell in column.cells)
    ]
    setting = tables[0].setting
    shots = "" if setting.shots is None else f"{setting.shots}shot"
    datasets = make_slug(*dict.fromkeys(table.setting.dataset for table in tables))
    found = Table(
        kind="main",
        slug=make_slug("main", datasets, setting.backbone, setting.weights, shots),
        title=f"{datasets.replace('-', ', ')} · {setting.backbone}",
        columns=tuple(columns),
        caption=(
            *describe_setting(tables, "PET methods"),
            *describe_scores(tables),
            *describe_metrics(tables),
            "Tuned: parameters trained outside the decoder, in millions and in % of the backbone.",
            describe_protocol(tables),
            *describe_verdict(tables),
        ),
        notes=tuple(note for table in tables for note in table.notes),
        comments=tuple(line for table in tables for line in list_runs(table.results)),
        context=make_slug(setting.backbone, setting.weights, shots),
    )
    return add_legend(found)
