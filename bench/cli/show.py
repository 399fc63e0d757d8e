"""The commands `list`, `check` and `schema`: the registries, a method's promises, result.json."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from typer import Argument, Option

import datasets
import methods
from bench.cli.options import flag, option, takes
from bench.cli.promises import Outcomes, check_promises
from bench.cli.terminal import EXIT_FAILED, add_columns
from bench.cost.inventory import MethodCount, NetworkShape, count_methods, read_network_shape
from bench.grid.cells import parse_methods
from bench.models import registry
from bench.models.references import registry as references
from methods.base import Contender, Method, MissingRole
from methods.bridge import registry as bridge
from methods.bridge.method import make_record
from methods.bridge.names import UNUSABLE
from reports.formats.terminal import SafeConsole, escape
from reports.records.run import describe_schema

commands = typer.Typer()
SHAPE_FIELDS = ("channels", "classes", "also_train", "decoder", "prefix_tokens")
STARTS = {True: "starts as the frozen network", False: "changes the output from the start"}


@dataclass(frozen=True)
class ListOptions:
    """What to list, and on which network to count, as it was typed."""

    registry: Annotated[
        Literal["methods", "datasets", "backbones", "decoders"], Argument(help="What to list.")
    ]
    backbone: str | None = option(None, "Count what each method trains on this backbone.")
    patch: str | None = option(None, "Patch of the count, D,H,W in voxels; default 128,128,128.")
    channels: int | None = option(None, "Input channels of the count; default 4.", at_least=1)
    classes: int | None = option(None, "Classes of the count; default 4.", at_least=1)
    also_train: str | None = option(None, "Trained beside the method: decoder (default) or paper.")
    decoder: str | None = option(None, "Decoder of the count; default: the backbone's own.")
    prefix_tokens: str | None = option(None, "Class and register tokens: keep (default) or drop.")
    json: bool = flag("Print the count as JSON.")
    all: bool = flag("Methods: also the types of the library peft, and which cannot be used.")


@commands.command("list")
@takes(ListOptions)
def list_(options: ListOptions) -> None:
    """Show the methods with their settings, the data sets, backbones or decoders.

    With a backbone: parameters of each method there, total, trained and trained by part.
    """
    typed = [name for name, value in asdict(options).items() if value]
    flags = [f"--{name.replace('_', '-')}" for name in typed if name not in ("registry", "all")]
    if options.all:
        flags.append("--all")
    if flags and options.registry != "methods":
        raise ValueError(f"list {options.registry}: only `list methods` takes {flags[0]}")
    if options.backbone is None:
        if flags and flags != ["--all"]:
            raise ValueError(f"list methods: {flags[0]} needs --backbone")
        SafeConsole().print(TABLES[options.registry]())
        if options.all:
            SafeConsole().print(_bridge_table())
        return
    given = {name: getattr(options, name) for name in SHAPE_FIELDS}
    shape = read_network_shape(options.backbone, options.patch, given)
    bridged = bridge.names() if options.all else []
    counts = count_methods(shape, [*methods.names(), *bridged])
    if options.json:
        record = asdict(shape) | {"methods": [asdict(count) for count in counts]}
        typer.echo(json.dumps(record, indent=2))
    else:
        SafeConsole().print(_counts_table(shape, counts))


def _methods_table() -> Table:
    headings = ("name", "what it is, and its settings with their defaults")
    table = add_columns(Table(title="methods"), headings)
    for name in methods.names():
        _add_method(table, methods.get(name))
    for name in references.names():
        _add_reference(table, name)
    return table


def _bridge_table() -> Table:
    headings = ("name", "what it is, and its settings with their defaults")
    table = add_columns(Table(title="types of the library peft"), headings)
    for name in bridge.names():
        _add_method(table, make_record(bridge.find(name)))
    for name, reason in UNUSABLE.items():
        table.add_row(f"{bridge.PREFIX}{name}", f"cannot be used: {reason}", end_section=True)
    table.caption = f"They need the extra: {escape(bridge.EXTRA)}"
    table.caption_justify = "left"
    return table


def _add_method(table: Table, kind: type[Method]) -> None:
    info = kind.info
    facts = [f"{info.family}, {info.year}" if info.year else str(info.family)]
    if info.roles:
        facts.append(f"needs {', '.join(info.roles)}")
    facts.append(STARTS[info.identity_at_init])
    facts.append("merges into the weights" if info.mergeable else "does not merge")
    lines = [info.paper, "; ".join(facts), *_list_settings(kind)]
    table.add_row(info.name, escape("\n".join(lines)), end_section=True)


def _add_reference(table: Table, name: str) -> None:
    kind = references.get(name)
    info = kind.info
    facts = f"reference: a 3-D network trained whole; patch {info.size_rule}"
    lines = [info.paper, facts, *_list_settings(kind)]
    table.add_row(name, escape("\n".join(lines)), end_section=True)


def _list_settings(kind: type[Contender]) -> list[str]:
    return [f"  {item.name}={item.default}  {item.metadata['help']}" for item in fields(kind)]


def _datasets_table() -> Table:
    headings = ("name", "one of", "release", "channels", "regions", "files looked for", "reference")
    table = add_columns(Table(title="data sets"), headings)
    for name, (family, release) in datasets.releases().items():
        regions = ", ".join(region.name for region in release.regions)
        channels = ", ".join(release.channels)
        facts = (release.title, channels, regions, escape(release.layout))
        table.add_row(name, family, *facts, datasets.get(name).reference)
    table.caption = "A name of the second column means whichever of its releases a root holds."
    table.caption_justify = "left"
    return table


def _backbones_table() -> Table:
    headings = ("name", "title", "weights", "slices divisible by", "reference")
    table = add_columns(Table(title="backbones"), headings)
    for name in registry.names():
        info = registry.get(name)
        weights = ", ".join(info.weights)
        table.add_row(name, info.title, weights, str(info.multiple_of), info.reference)
    return table


def _decoders_table() -> Table:
    table = add_columns(Table(title="decoders"), ("name", "title", "for", "own decoder of"))
    for name, decoder in registry.DECODERS.items():
        fits = "a Swin Transformer" if decoder.needs_swin else "every backbone"
        owners = [each for each in registry.names() if registry.get(each).decoder == name]
        table.add_row(name, decoder.title, fits, ", ".join(owners) or "-")
    return table


TABLES = {
    "methods": _methods_table,
    "datasets": _datasets_table,
    "backbones": _backbones_table,
    "decoders": _decoders_table,
}


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


@commands.command()
def check(
    method: Annotated[
        str, Argument(help="A method, all, paper, a family, peft, or package.module:Class.")
    ],
    backbone: Annotated[str, Option(help="Comma list of backbones.")] = "tiny_vit,tiny_swin",
) -> None:
    """Check that methods do what they declare.

    Checked are start, parameter count, what stays frozen, gradients, saving and merging. Of a
    network such as net:unetr: output, patch rule, gradients, saving and repetition.

    Exit code: 0 everything holds, 1 something does not, 2 bad input.
    """
    hosted = failed = False
    specs = parse_methods(method)
    for label, outcomes in check_promises(specs, backbone):
        found = [outcome for row in outcomes.values() for outcome in row.values()]
        hosted |= None in found
        failed |= any(isinstance(outcome, str) for outcome in found)
        if len(specs) == 1:
            SafeConsole().print(_outcomes_table(label, outcomes))
        else:
            _say_outcomes(label, outcomes)
    if failed or not hosted:
        raise typer.Exit(EXIT_FAILED)


def _outcomes_table(label: str, outcomes: Outcomes) -> Table:
    first = next(iter(outcomes.values()))
    title = f"{escape(label)}: what it declares and what it does"
    table = add_columns(Table(title=title, title_justify="left"), ("check", *first))
    for heading, row in outcomes.items():
        table.add_row(heading, *map(_describe_outcome, row.values()))
    return table


def _say_outcomes(label: str, outcomes: Outcomes) -> None:
    """Print a line for each backbone: how many checks hold, and each that does not."""
    for name in next(iter(outcomes.values())):
        found = {heading: row[name] for heading, row in outcomes.items()}
        n_holding = sum(outcome is None for outcome in found.values())
        line = f"{escape(label)} on {name}: [green]{n_holding} hold[/]"
        others = {heading: outcome for heading, outcome in found.items() if outcome is not None}
        if len(set(map(str, others.values()))) == 1:
            others = dict([next(iter(others.items()))])  # no place for it: one reason for all
        for heading, outcome in others.items():
            line += f"; {heading}: {_describe_outcome(outcome)}"
        SafeConsole().print(line)


def _describe_outcome(outcome: str | MissingRole | None) -> str:
    if outcome is None:
        return "[green]holds[/]"
    if isinstance(outcome, str):
        return f"[red]fails:[/] {escape(outcome)}"
    return f"skipped: {escape(str(outcome))}"


@commands.command()
def schema() -> None:
    """Print the JSON schema of result.json, which a run leaves in its folder."""
    typer.echo(json.dumps(describe_schema(), indent=1))
