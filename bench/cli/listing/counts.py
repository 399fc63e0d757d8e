"""What each method trains on a backbone, counted."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

import methods
from bench.cli.terminal import add_columns
from bench.cost.inventory import MethodCount, NetworkShape, count_methods, read_network_shape
from methods.bridge import registry as bridge
from reports.formats.terminal import SafeConsole, escape


def print_counts(
    backbone: str, patch: str | None, given: Mapping[str, object], *, bridged: bool, as_json: bool
) -> None:
    """Print what each method trains on a network of this shape. Raises: as `read_network_shape`.

    ``bridged``: the types of the library peft as well.
    """
    shape = read_network_shape(backbone, patch, dict(given))
    others = bridge.names() if bridged else []
    counts = count_methods(shape, [*methods.names(), *others])
    if as_json:
        record = asdict(shape) | {"methods": [asdict(count) for count in counts]}
        typer.echo(json.dumps(record, indent=2))
    else:
        SafeConsole().print(_counts_table(shape, counts))


def _counts_table(shape: NetworkShape, counts: list[MethodCount]) -> Table:
    size = "x".join(map(str, shape.patch))
    inputs = f"{shape.channels} channels, {shape.classes} classes, patch {size}"
    title = f"{shape.backbone}, {inputs}, also_train={shape.also_train}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("name", no_wrap=True)
    add_columns(table, numbers=("total", "trained", "method", "decoder", "other"))
    facts = ["trained = method + decoder + other (what trains beside every method)"]
    for count in counts:
        sizes = [count.total, count.trained, None, None, None]
        if parts := count.trained_by_part:
            sizes[2:] = [parts.method, parts.decoder, parts.other]
        table.add_row(count.name, *("-" if size is None else f"{size:,}" for size in sizes))
        facts.append(f"{count.name}: {count.reason or _describe_start(count)}")
    table.caption = escape("\n".join(facts))
    table.caption_justify = "left"
    return table


def _describe_start(count: MethodCount) -> str:
    start = "identity at step 0" if count.identity_at_step_0 else "changes the output at step 0"
    merges = "merges" if count.mergeable else "does not merge"
    return f"{start}, {merges}; {count.paper}"
