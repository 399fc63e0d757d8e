"""Tables over one field of the setting: several weights, several numbers of training cases."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import MEAN
from reports.tables.layout import add_legend, align, finish, method_names, note_of, score_column
from reports.tables.table import Column, Table, word_column
from reports.tables.wording import (
    describe_protocol,
    describe_scores,
    describe_setting,
    describe_verdict,
)


def sweep_tables(
    kind: str, field: str, head: str, tables: Sequence[MethodComparison]
) -> list[Table]:
    """Return tables with a column per value of one field of the setting (weights, shots), all else equal."""
    groups: dict[tuple[object, ...], list[MethodComparison]] = {}
    for table in tables:
        rest = tuple(value for key, value in vars(table.setting).items() if key != field)
        groups.setdefault(rest, []).append(table)
    found = [_sweep_table(kind, field, head, group) for group in groups.values() if len(group) > 1]
    if not found:
        raise ValueError(
            f"report: the {kind} table must have runs with several {head}, all else equal, got none"
        )
    return found


def _sweep_table(kind: str, field: str, head: str, group: Sequence[MethodComparison]) -> Table:
    def order(table: MethodComparison) -> tuple[bool, int]:
        shots = table.setting.shots
        return (shots is None, shots or 0) if field == "shots" else (False, 0)

    group = sorted(group, key=order)
    names = method_names(group)
    columns = [word_column("method", "Method", list(names.values()), 2)]
    for table in group:
        value = getattr(table.setting, field)
        name = f"{'all' if value is None else value} (n = {table.rows['n_cases'].max()})"
        column = score_column(
            table,
            align(table, list(names)),
            f"dice/{MEAN}",
            levels=2,
            heads=(f"Mean Dice (%) by {head}", name),
        )
        columns.append(
            Column(f"{column.key}@{'all' if value is None else value}", column.heads, column.cells)
        )
    notes = [note_of(group, key) for key in names]
    columns += [word_column("note", "Note", notes, 2)] if any(notes) else []
    protocols = "Protocols differ in this alone." if not any(table.mixed for table in group) else ""
    caption = [
        *describe_setting(group, f"PET methods by {head}"),
        *describe_scores(group),
        *([protocols] if protocols else []),
        describe_protocol(group),
        *describe_verdict(group),
    ]
    return add_legend(finish(kind, group, columns, caption))
