"""What `list` shows of the registries."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import datasets
import methods
from bench.cost.inventory import MethodCount, NetworkShape, count_methods
from bench.models import registry


def list_command(what: str, console: Console) -> None:
    """Print one registry as a table."""
    tables = {"methods": _methods_table, "datasets": _datasets_table, "backbones": _backbones_table}
    console.print(tables[what]())


def count_command(shape: NetworkShape, console: Console, *, as_json: bool) -> None:
    """Print what each method trains on a backbone."""
    counts = count_methods(shape)
    if as_json:
        record = asdict(shape) | {"methods": [asdict(count) for count in counts]}
        console.file.write(
            json.dumps(record, indent=2) + "\n"
        )  # as it is: the console would wrap long lines
    else:
        console.print(_counts_table(shape, counts))


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _methods_table() -> Table:
    table = _table("methods", "name", "what it is, and its settings with their defaults")
    for name in methods.names():
        kind = methods.get(name)
        info = kind.info
        start = (
            "starts as the frozen network"
            if info.identity_at_init
            else "changes the output from the start"
        )
        merges = "merges into the weights" if info.mergeable else "does not merge"
        needs = f"needs {', '.join(info.roles)}; " if info.roles else ""
        settings = [
            f"  {item.name}={item.default}  {item.metadata['help']}" for item in fields(kind)
        ]
        table.add_row(
            name,
            escape("\n".join([info.paper, f"{needs}{start}; {merges}", *settings])),
            end_section=True,
        )
    return table


def _counts_table(shape: NetworkShape, counts: list[MethodCount]) -> Table:
    size = "x".join(map(str, shape.patch))
    title = f"{shape.backbone}, {shape.channels} channels, {shape.classes} classes, patch {size}"
    numbers = ("total", "trained", "method", "decoder", "other")
    table = Table(
        title=f"{title}, also_train={shape.also_train}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in ("name", *numbers):
        table.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=True)
    facts = ["trained = method + decoder + other (what trains beside every method)"]
    for count in counts:
        parts = count.trained_by_part
        sizes = (
            count.total,
            count.trained,
            *((parts.method, parts.decoder, parts.other) if parts else (None,) * 3),
        )
        table.add_row(count.name, *("-" if size is None else f"{size:,}" for size in sizes))
        start = "identity at step 0" if count.identity_at_step_0 else "changes the output at step 0"
        merges = "merges" if count.mergeable else "does not merge"
        facts.append(f"{count.name}: {count.reason or f'{start}, {merges}; {count.paper}'}")
    table.caption = escape("\n".join(facts))
    table.caption_justify = "left"
    return table


def _datasets_table() -> Table:
    table = _table(
        "data sets", "name", "release", "channels", "regions", "files looked for", "reference"
    )
    for name in datasets.names():
        kind = datasets.get(name)
        for release in kind.releases:
            regions = ", ".join(region.name for region in release.regions)
            channels = ", ".join(release.channels)
            table.add_row(
                name, release.title, channels, regions, escape(release.layout), kind.reference
            )
    return table


def _backbones_table() -> Table:
    table = _table("backbones", "name", "title", "weights", "slices divisible by", "reference")
    for name in registry.names():
        info = registry.get(name)
        table.add_row(
            name, info.title, ", ".join(info.weights), str(info.multiple_of), info.reference
        )
    return table
