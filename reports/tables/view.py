"""How tables are shown: which methods in which order, under which names, in which groups; never by hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path

from reports.records.run import RunResult
from reports.tables.table import MISSING, Cell, Column, Table, number_cell


@dataclass(frozen=True)
class View:
    """Options of the presentation; empty ones leave the table as it is.

    Methods are meant by their label (``lora[rank=8]``) or name (``lora``, all settings of it),
    columns by a key or its start (``dice``, ``dice/WT``, ``hd95_mm``, ``tuned_m``).
    """

    methods: tuple[str, ...] = ()  # only these, in this order
    columns: tuple[str, ...] = ()  # only these, in this order
    names: Mapping[str, str] = field(default_factory=dict)  # label -> what is printed
    groups: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # heading -> methods under it
    published: tuple[Published, ...] = ()


def select_methods(results: Sequence[RunResult], view: View) -> list[RunResult]:
    """Return the results of the methods to show, in their order.

    Raises: ValueError if a method of the view has no result.
    """
    if not view.methods:
        return list(results)
    found = []
    for wanted in view.methods:
        mine = [result for result in results if wanted in (result.label, result.method)]
        if not mine:
            labels = ", ".join(dict.fromkeys(result.label for result in results))
            raise ValueError(f"report: --methods must be among {labels}, got '{wanted}'")
        found += mine
    return list({id(result): result for result in found}.values())


def apply_view(table: Table, view: View) -> Table:
    """Return the table in the groups, columns and names of the view, published numbers beside ours.

    Raises: ValueError if a column of the view is in no table of this kind, or a group's method in
    no row.
    """
    shown = add_published(table, view.published) if view.published else table
    shown = _group_rows(shown, view.groups) if view.groups else shown
    if view.columns:
        shown = replace(shown, columns=_select_columns(shown, view.columns))
    first = shown.columns[0]
    renamed = tuple(Cell(view.names.get(cell.text, cell.text)) for cell in first.cells)
    return replace(shown, columns=(replace(first, cells=renamed), *shown.columns[1:]))


def _select_columns(table: Table, wanted: Sequence[str]) -> tuple[Column, ...]:
    found = [table.columns[0]]
    for name in wanted:
        mine = [column for column in table.columns[1:] if _matches(column.key, name)]
        if not mine:
            keys = ", ".join(
                dict.fromkeys(column.key.rpartition(":")[2] for column in table.columns[1:])
            )
            raise ValueError(
                f"report: --columns of the {table.kind} table must be among {keys}, got '{name}'"
            )
        found += [column for column in mine if column not in found]
    return tuple(found)


def _matches(key: str, name: str) -> bool:
    own = key.rpartition(":")[2]
    return name in (key, own, own.partition("/")[0])


def _group_rows(table: Table, groups: Mapping[str, Sequence[str]]) -> Table:
    labels = [cell.text for cell in table.columns[0].cells]
    order: list[int] = []
    sections = {}
    for heading, members in groups.items():
        mine = [
            index
            for member in members
            for index, label in enumerate(labels)
            if member in (label, label.partition("[")[0]) and index not in order
        ]
        if mine:
            sections[len(order)] = heading
        order += list(dict.fromkeys(mine))
    rest = [index for index in range(len(labels)) if index not in order]
    if not order:
        raise ValueError(
            f"report: --group must name methods of the table ({', '.join(labels)}), got none of them"
        )
    if rest:
        sections[len(order)] = "others"
    columns = tuple(
        replace(column, cells=tuple(column.cells[index] for index in (*order, *rest)))
        for column in table.columns
    )
    return replace(table, columns=columns, sections=sections)


FIELDS = ("dataset", "method", "quantity", "value")


@dataclass(frozen=True)
class Published:
    """A number from the literature: ``quantity`` is a column's key such as ``dice/WT`` (%) or ``hd95_mm/mean``."""

    dataset: str
    method: str
    quantity: str
    value: float
    source: str = ""


def read_published(file: Path) -> tuple[Published, ...]:
    """Return the rows of a CSV file with the columns dataset, method, quantity, value and, if you like, source.

    Raises: ValueError if the file is not there, lacks a column, or a value is no number.
    """
    if not file.is_file():
        raise ValueError(f"--reference: must be a CSV file, got {file}, which is not there")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        lacking = [name for name in FIELDS if name not in (reader.fieldnames or ())]
        if lacking:
            raise ValueError(
                f"--reference: {file} must have the columns {', '.join(FIELDS)}, lacks {lacking[0]}"
            )
        return tuple(_read_row(row, file, number) for number, row in enumerate(reader, start=2))


def _read_row(row: dict[str, str], file: Path, line: int) -> Published:
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        value = nan
    if isnan(value):
        raise ValueError(
            f"--reference: {file}, line {line}: value must be a number, got '{row['value']}'"
        )
    return Published(row["dataset"], row["method"], row["quantity"], value, row.get("source") or "")


def add_published(table: Table, published: Sequence[Published]) -> Table:
    """Return the table with two columns after each that has published numbers: theirs, and ours minus theirs.

    Numbers of methods or data sets that the table does not have are named in a note.
    """
    methods = [cell.text for cell in table.columns[0].cells]
    columns: list[Column] = []
    used: set[Published] = set()
    for column in table.columns:
        columns.append(column)
        dataset, _, quantity = column.key.rpartition(":")
        mine = {
            item.method: item
            for item in published
            if (item.dataset, item.quantity) == (dataset, quantity) and dataset
        }
        if any(method in mine for method in methods):
            used |= {mine[method] for method in methods if method in mine}
            columns += _beside(column, [mine.get(method) for method in methods])
    if not used:
        return table
    sources = ", ".join(
        dict.fromkeys(item.source for item in published if item in used and item.source)
    )
    sentence = f"Published: numbers of the literature{f' ({sources})' if sources else ''}; Δ: ours minus theirs."
    unused = [
        f"{item.method} on {item.dataset}, {item.quantity}"
        for item in published
        if item not in used
    ]
    note = (f"Published, not in this table: {'; '.join(unused)}.",) if unused else ()
    return replace(
        table,
        columns=tuple(columns),
        caption=(*table.caption, sentence),
        notes=(*table.notes, *note),
    )


def _beside(column: Column, theirs: Sequence[Published | None]) -> list[Column]:
    values = [nan if item is None else item.value for item in theirs]
    gaps = [ours.value - value for ours, value in zip(column.cells, values, strict=True)]
    top, own = column.heads[:-1], column.heads[-1]
    signed = tuple(Cell(MISSING) if isnan(gap) else Cell(f"{gap:+.1f}", gap) for gap in gaps)
    return [
        Column(
            f"{column.key}_published",
            (*top, f"{own} publ."),
            tuple(number_cell(value, 1) for value in values),
        ),
        Column(f"{column.key}_delta", (*top, "Δ"), signed),
    ]
