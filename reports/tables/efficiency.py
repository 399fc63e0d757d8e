"""The efficiency table: what each method costs."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import EFFICIENCY
from reports.analysis.tidy import MEAN
from reports.records.run import RunResult
from reports.tables.layout import add_legend, align, cost_column, finish, method_names, score_column
from reports.tables.table import MISSING, Table, word_column
from reports.tables.wording import describe_protocol, describe_setting, describe_verdict


def efficiency_tables(tables: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting: what each method costs; columns that no run has measured are left out."""
    found = []
    for table in tables:
        names = method_names([table])
        keys = list(names)
        costs = [cost_column([table], keys, cost, levels=2) for cost in EFFICIENCY]
        measured = [
            column for column in costs if any(cell.text != MISSING for cell in column.cells)
        ]
        absent = [column.key for column in costs if column not in measured]
        if not measured:
            continue
        dice = score_column(table, align(table, keys), f"dice/{MEAN}", levels=2)
        columns = [word_column("method", "Method", list(names.values()), 2), *measured, dice]
        caption = [
            *describe_setting([table], "Cost of PET methods"),
            *_explain_costs(table.results, {column.key for column in measured}),
            *([f"Not measured by these runs: {', '.join(absent)}."] if absent else []),
            describe_protocol([table]),
            *describe_verdict([table]),
        ]
        found.append(add_legend(finish("efficiency", [table], columns, caption)))
    if not found:
        raise ValueError("report: the efficiency table must have a run that is done, got none")
    return found


def _explain_costs(results: Sequence[RunResult], shown: set[str]) -> list[str]:
    devices = sorted(
        {str(result.provenance.get("device", "an unknown device")) for result in results}
    )
    sentences = [
        "Tuned: parameters trained outside the decoder, in millions and in % of the backbone."
    ]
    if "forward_gflop" in shown:
        sentences.append(
            "GFLOP: for one patch, two per multiply-accumulate; training: forward and backward."
        )
    if "peak_mib" in shown:
        sentences.append("Peak memory: of the device's allocator, on a CPU of the process.")
    if shown & {"step_ms", "inference_s", "fit_s"}:
        sentences.append(
            f"Times on {', '.join(devices)}: a training step, a held-out volume, the whole training."
        )
    if "delta_mib" in shown:
        sentences.append("Delta: the file of what was trained.")
    return sentences
