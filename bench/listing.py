"""What `list` shows of the registries."""

from __future__ import annotations

from dataclasses import fields

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import datasets
import methods
from bench.models import registry


def list_command(what: str, console: Console) -> None:
    """Print one registry as a table."""
    tables = {"methods": _methods_table, "datasets": _datasets_table, "backbones": _backbones_table}
    console.print(tables[what]())


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _methods_table() -> Table:
    table = _table("methods", "name", "paper", "needs", "settings (default)", "step 0", "merges")
    for name in methods.names():
        kind = methods.get(name)
        info = kind.info
        settings = "\n".join(f"{item.name}={item.default}  {item.metadata['help']}" for item in fields(kind))
        start = "identity" if info.identity_at_init else "changes the output"
        roles = ", ".join(info.roles) or "-"
        table.add_row(name, info.paper, roles, escape(settings) or "-", start, "yes" if info.mergeable else "no")
    return table


def _datasets_table() -> Table:
    table = _table("data sets", "name", "title", "channels", "regions", "files looked for", "reference")
    for name in datasets.names():
        info = datasets.get(name).info
        regions = ", ".join(region.name for region in info.regions)
        table.add_row(name, info.title, ", ".join(info.channels), regions, escape(info.layout), info.reference)
    return table


def _backbones_table() -> Table:
    table = _table("backbones", "name", "title", "weights", "slices divisible by", "reference")
    for name in registry.names():
        info = registry.get(name)
        table.add_row(name, info.title, ", ".join(info.weights), str(info.multiple_of), info.reference)
    return table
