"""How tables are shown: which methods in which order, under which names, in which groups; never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.results import RunResult
from reports.published import Published, add_published
from reports.table import Cell, Column, Table


@dataclass(frozen=True)
class View:
    """Options of the presentation; empty ones leave the table as it is.

    Methods are meant by their label (``lora[rank=8]``) or name (``lora``, all settings of it), columns by a key
    or its start (``dice``, ``dice/WT``, ``hd95_mm``, ``tuned_m``).
    """

    methods: tuple[str, ...] = ()  # only these, in this order
    columns: tuple[str, ...] = ()  # only these, in this order
    names: Mapping[str, str] = field(default_factory=dict)  # label -> what is printed
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # heading -> methods under it
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

    Raises: ValueError if a column of the view is in no table of this kind, or a group's method in no row.
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
            keys = ", ".join(dict.fromkeys(column.key.rpartition(":")[2] for column in table.columns[1:]))
            raise ValueError(f"report: --columns of the {table.kind} table must be among {keys}, got '{name}'")
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
        raise ValueError(f"report: --group must name methods of the table ({', '.join(labels)}), got none of them")
    if rest:
        sections[len(order)] = "others"
    columns = tuple(
        replace(column, cells=tuple(column.cells[index] for index in (*order, *rest))) for column in table.columns
    )
    return replace(table, columns=columns, sections=sections)
