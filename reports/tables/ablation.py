"""The ablation table: several settings of one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.records.run import RunResult
from reports.tables.layout import add_legend, align, cost_column, finish, score_columns
from reports.tables.table import MISSING, Table, word_column
from reports.tables.wording import (
    describe_protocol,
    describe_scores,
    describe_setting,
    describe_verdict,
)


def ablation_tables(tables: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting and method that was run with several settings; the swept ones are columns."""
    found = []
    for table in tables:
        by_method: dict[str, dict[str, RunResult]] = {}
        for result in table.results:
            by_method.setdefault(result.method, {}).setdefault(result.label, result)
        for name, variants in by_method.items():
            if len(variants) > 1 and not table.mixed:
                found.append(_ablation_table(table, name, list(variants.values())))
    if not found:
        raise ValueError(
            "report: an ablation must have a method with several settings in one protocol, got none "
            '(make some with --methods "lora[rank=4,8]")'
        )
    return found


def _ablation_table(table: MethodComparison, name: str, variants: Sequence[RunResult]) -> Table:
    swept = [
        key
        for key in dict.fromkeys(key for run in variants for key in run.settings)
        if len({str(run.settings.get(key)) for run in variants}) > 1
    ]
    keys = [(run.label, "") for run in variants]
    rows = align(table, keys)
    columns = [word_column("method", "Method", [run.label for run in variants], 2)]
    columns += [
        word_column(key, key, [str(run.settings.get(key, MISSING)) for run in variants], 2)
        for key in swept
    ]
    columns += [cost_column([table], keys, cost, levels=2) for cost in ("tuned_m", "tuned_pct")]
    columns += score_columns(table, rows, levels=2)
    caption = [
        *describe_setting([table], f"Settings of {name}"),
        *describe_scores([table]),
        describe_protocol([table]),
        *describe_verdict([table]),
    ]
    if len(table.rows) > len(variants):
        caption.append(
            "Places and ties are among all methods of this setting, not only those shown."
        )
    mine = tuple(
        note
        for note in table.notes
        if note.startswith(tuple(f"{run.label} on " for run in variants))
    )
    return replace(add_legend(finish("ablation", [table], columns, caption, name)), notes=mine)
