"""The other tables: efficiency, ablation, pre-training, k-shot, tuning gap, comparison with a reference.

Each raises ValueError, in one sentence, if the results at hand hold nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.results import RunResult
from reports.comparison import comparison_tables, gap_tables
from reports.main_table import (
    add_legend,
    align,
    cost_column,
    main_tables,
    method_names,
    note_of,
    score_column,
)
from reports.quantities import EFFICIENCY
from reports.summary import MethodTable
from reports.table import MISSING, Column, Table, make_slug, word_column
from reports.tidy import MEAN
from reports.wording import (
    describe_protocol,
    describe_scores,
    describe_setting,
    describe_verdict,
    list_runs,
)


def efficiency_tables(tables: Sequence[MethodTable]) -> list[Table]:
    """Return one table per setting: what each method costs; columns that no run has measured are left out."""
    found = []
    for table in tables:
        names = method_names([table])
        keys = list(names)
        costs = [cost_column([table], keys, cost, levels=2) for cost in EFFICIENCY]
        measured = [column for column in costs if any(cell.text != MISSING for cell in column.cells)]
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
        found.append(add_legend(_finish("efficiency", [table], columns, caption)))
    if not found:
        raise ValueError("report: the efficiency table must have a run that is done, got none")
    return found


def _explain_costs(results: Sequence[RunResult], shown: set[str]) -> list[str]:
    devices = sorted({str(result.provenance.get("device", "an unknown device")) for result in results})
    sentences = ["Tuned: parameters trained outside the decoder, in millions and in % of the backbone."]
    if "forward_gflop" in shown:
        sentences.append("GFLOP: for one patch, two per multiply-accumulate; training: forward and backward.")
    if "peak_mib" in shown:
        sentences.append("Peak memory: of the device's allocator, on a CPU of the process.")
    if shown & {"step_ms", "inference_s", "fit_s"}:
        sentences.append(f"Times on {', '.join(devices)}: a training step, a held-out volume, the whole training.")
    if "delta_mib" in shown:
        sentences.append("Delta: the file of what was trained.")
    return sentences


def ablation_tables(tables: Sequence[MethodTable]) -> list[Table]:
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


def _ablation_table(table: MethodTable, name: str, variants: Sequence[RunResult]) -> Table:
    swept = [
        key
        for key in dict.fromkeys(key for run in variants for key in run.settings)
        if len({str(run.settings.get(key)) for run in variants}) > 1
    ]
    keys = [(run.label, "") for run in variants]
    rows = align(table, keys)
    columns = [word_column("method", "Method", [run.label for run in variants], 2)]
    columns += [word_column(key, key, [str(run.settings.get(key, MISSING)) for run in variants], 2) for key in swept]
    columns += [cost_column([table], keys, cost, levels=2) for cost in ("tuned_m", "tuned_pct")]
    columns += [score_column(table, rows, f"dice/{region}", levels=2) for region in (*table.regions, MEAN)]
    columns.append(score_column(table, rows, f"hd95_mm/{MEAN}", levels=2))
    caption = [
        *describe_setting([table], f"Settings of {name}"),
        *describe_scores([table]),
        describe_protocol([table]),
        *describe_verdict([table]),
    ]
    if len(table.rows) > len(variants):
        caption.append("Places and ties are among all methods of this setting, not only those shown.")
    mine = tuple(note for note in table.notes if note.startswith(tuple(f"{run.label} on " for run in variants)))
    return replace(add_legend(_finish("ablation", [table], columns, caption, name)), notes=mine)


def sweep_tables(kind: str, field: str, head: str, tables: Sequence[MethodTable]) -> list[Table]:
    """Return tables with a column per value of one field of the setting (weights, shots), all else equal."""
    groups: dict[tuple[object, ...], list[MethodTable]] = {}
    for table in tables:
        rest = tuple(value for key, value in vars(table.setting).items() if key != field)
        groups.setdefault(rest, []).append(table)
    found = [_sweep_table(kind, field, head, group) for group in groups.values() if len(group) > 1]
    if not found:
        raise ValueError(f"report: the {kind} table must have runs with several {head}, all else equal, got none")
    return found


def _sweep_table(kind: str, field: str, head: str, group: Sequence[MethodTable]) -> Table:
    def order(table: MethodTable) -> tuple[bool, int]:
        shots = table.setting.shots
        return (shots is None, shots or 0) if field == "shots" else (False, 0)

    group = sorted(group, key=order)
    names = method_names(group)
    columns = [word_column("method", "Method", list(names.values()), 2)]
    for table in group:
        value = getattr(table.setting, field)
        name = f"{'all' if value is None else value} (n = {table.rows['n_cases'].max()})"
        column = score_column(
            table, align(table, list(names)), f"dice/{MEAN}", levels=2, heads=(f"Mean Dice (%) by {head}", name)
        )
        columns.append(Column(f"{column.key}@{'all' if value is None else value}", column.heads, column.cells))
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
    return add_legend(_finish(kind, group, columns, caption))


def _finish(
    kind: str, tables: Sequence[MethodTable], columns: Sequence[Column], caption: Sequence[str], extra: str = ""
) -> Table:
    setting = tables[0].setting
    shots = "" if setting.shots is None or len(tables) > 1 else f"{setting.shots}shot"
    weights = setting.weights if kind != "pretraining" else ""
    title = " · ".join(filter(None, (kind, extra, setting.dataset, setting.backbone)))
    return Table(
        kind=kind,
        slug=make_slug(kind, extra, setting.dataset, setting.backbone, weights, shots),
        title=title,
        columns=tuple(columns),
        caption=tuple(caption),
        notes=tuple(note for table in tables for note in table.notes),
        comments=tuple(line for table in tables for line in list_runs(table.results)),
    )


@dataclass(frozen=True)
class Kind:
    """A kind of table: what it shows, and how it is made."""

    summary: str
    build: Callable[[Sequence[MethodTable]], list[Table]]


KINDS = {
    "main": Kind("Dice and HD95 of methods", main_tables),
    "efficiency": Kind("parameters, FLOPs, memory, time", efficiency_tables),
    "ablation": Kind("several settings of a method", ablation_tables),
    "pretraining": Kind("several weights", partial(sweep_tables, "pretraining", "weights", "weights")),
    "kshot": Kind("several numbers of training cases", partial(sweep_tables, "kshot", "shots", "training cases")),
    "gap": Kind("default against tuned settings", gap_tables),
    "comparison": Kind("paired differences to a reference", comparison_tables),
}
