"""How tables are shown: which methods in which order, under which names, in which groups."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path

from datasets.files import read_text
from reports.records.run import RunResult
from reports.tables.table import MISSING, Cell, Column, Head, Table, fill_column
from reports.tables.wording import join_values

FIELDS = ("dataset", "method", "quantity", "value")


@dataclass(frozen=True)
class Published:
    """A number from the literature."""

    dataset: str
    method: str
    quantity: str  # the key of a column, such as "dice/WT" (%) or "hd95_mm/mean"
    value: float
    source: str = ""


@dataclass(frozen=True)
class View:
    """Options of the presentation; empty ones leave the table as it is.

    Methods are meant by their label (``lora[rank=8]``) or name (``lora``, all settings of it),
    columns by a key or its start (``dice``, ``dice/WT``, ``hd95_mm``, ``tuned_m``).
    """

    methods: tuple[str, ...] = ()  # only these, in this order
    columns: tuple[str, ...] = ()  # only these, in this order
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # heading -> methods
    published: tuple[Published, ...] = ()
    by_family: bool = False  # the groups are the families of the methods; so are the colours


def select_methods(results: Sequence[RunResult], view: View) -> list[RunResult]:
    """Return the results of the view's methods, in its order; ``lora[]`` is it with its defaults.

    Raises: ValueError if a method has no result.
    """
    if not view.methods:
        return list(results)
    found: dict[int, RunResult] = {}
    for wanted in view.methods:
        own = wanted.removesuffix("[]")
        mine = {}
        for each in results:
            if own == each.label or wanted == each.method:
                mine[id(each)] = each
        if not mine:
            labels = join_values(results, "label")
            raise ValueError(f"report: --methods must be among {labels}, got '{wanted}'")
        found |= mine
    return list(found.values())


def apply_view(table: Table, view: View) -> Table:
    """Return the table in the groups and columns of the view, published numbers beside ours.

    Raises: ValueError if a column of the view is not in the table, or no group's method in a row.
    """
    if view.published:
        table = add_published(table, view.published)
    if view.groups:
        table = _group_rows(table, view.groups)
    first, *others = table.columns
    if view.columns:
        others = _select_columns(table.kind, others, view.columns)
    return replace(table, columns=(first, *others))


def _select_columns(kind: str, columns: Sequence[Column], wanted: Sequence[str]) -> list[Column]:
    found: dict[str, Column] = {}
    own_keys = []
    for column in columns:
        own_keys.append(column.key.rpartition(":")[2])
    for name in wanted:
        mine = {}
        for column, own in zip(columns, own_keys, strict=True):
            if name in (column.key, own, own.partition("/")[0]):
                mine[column.key] = column
        if not mine:
            keys = ", ".join(dict.fromkeys(own_keys))
            where = f"report: --columns of the {kind} table"
            raise ValueError(f"{where} must be among {keys}, got '{name}'")
        found |= mine
    return list(found.values())


def _group_rows(table: Table, groups: Mapping[str, Sequence[str]]) -> Table:
    labels = [cell.own_key for cell in table.columns[0].cells]
    order: list[int] = []
    sections = {}
    for heading, members in groups.items():
        start = len(order)
        for member in members:
            for index, label in enumerate(labels):
                if index not in order and member in (label, label.partition("[")[0]):
                    order.append(index)
        if len(order) > start:
            sections[start] = heading
    if not order:
        wanted = f"methods of the table ({', '.join(labels)})"
        raise ValueError(f"report: --group must name {wanted}, got none of them")
    if len(order) < len(labels):
        sections[len(order)] = "others"
        order += sorted(set(range(len(labels))) - set(order))
    columns = []
    for column in table.columns:
        columns.append(replace(column, cells=tuple(map(column.cells.__getitem__, order))))
    return replace(table, columns=tuple(columns), sections=sections)


def read_published(file: Path) -> tuple[Published, ...]:
    """Return the rows of a CSV file with the columns `FIELDS` and, optionally, source.

    Raises: ValueError if the file does not exist, lacks a column, or a value is no number.
    """
    if not file.is_file():
        fault = "a folder" if file.is_dir() else "not there"
        raise ValueError(f"--reference: must be a CSV file, got {file}, which is {fault}")
    lines = read_text(file, "save it as CSV in UTF-8").splitlines(keepends=True)
    reader = csv.DictReader(lines)
    try:
        for name in FIELDS:
            if name not in (reader.fieldnames or ()):
                names = ", ".join(FIELDS)
                raise ValueError(f"--reference: {file} must have the columns {names}, lacks {name}")
        rows = tuple(_read_row(row, file, number) for number, row in enumerate(reader, start=2))
    except csv.Error as error:
        raise ValueError(f"--reference: {file} must be CSV, got {error}") from None
    known: set[tuple[str, str, str]] = set()
    for row in rows:
        place = (row.dataset, row.method, row.quantity)
        if place in known:
            rule = f"--reference: {file} must have one number for a place"
            raise ValueError(f"{rule}, got two for {', '.join(place)}")
        known.add(place)
    return rows


def _read_row(row: dict[str, str], file: Path, line: int) -> Published:
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        value = nan
    if isnan(value):
        where = f"--reference: {file}, line {line}"
        raise ValueError(f"{where}: value must be a number, got '{row['value']}'")
    dataset, method, quantity = (row[name] or "" for name in FIELDS[:3])  # None: the line is cut
    return Published(dataset, method, quantity, value, row.get("source") or "")


def add_published(table: Table, published: Sequence[Published]) -> Table:
    """Return the table with two columns after each that has published numbers: theirs, and the gap.

    The gap is ours minus theirs. A note names the published numbers that the table has no cell for.
    """
    by_column: dict[str, dict[str, Published]] = {}
    for item in published:
        by_column.setdefault(f"{item.dataset}:{item.quantity}", {})[item.method] = item
    columns: list[Column] = []
    used: set[Published] = set()
    for column in table.columns:
        columns.append(column)
        mine = by_column.get(column.key, {})
        theirs = [mine.get(cell.own_key) for cell in table.columns[0].cells]
        if any(theirs):
            used.update(filter(None, theirs))
            columns += _beside(column, theirs)
    if not used:
        return table
    sources: dict[str, None] = {}
    unused = []
    for item in published:
        if item not in used:
            unused.append(f"{item.method} on {item.dataset}, {item.quantity}")
        elif item.source:
            sources[item.source] = None
    where = f" ({', '.join(sources)})" if sources else ""
    sentence = f"Published: numbers of the literature{where}; Δ: ours minus theirs."
    notes = table.notes
    if unused:
        notes += (f"Published, not in this table: {'; '.join(unused)}.",)
    return replace(table, columns=tuple(columns), caption=(*table.caption, sentence), notes=notes)


def _beside(column: Column, theirs: Sequence[Published | None]) -> list[Column]:
    values = []
    gaps = []
    for cell, item in zip(column.cells, theirs, strict=True):
        value = nan if item is None else item.value
        gap = cell.value - value
        values.append(value)
        gaps.append(Cell(MISSING) if isnan(gap) else Cell(f"{gap:+.1f}", gap))
    *top, own = column.heads
    return [
        fill_column(Head(f"{column.key}_published", (*top, f"{own} publ."), 1), values),
        fill_column(Head(f"{column.key}_delta", (*top, "Δ"), 1), gaps),
    ]
