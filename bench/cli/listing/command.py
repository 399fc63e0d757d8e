"""The commands `list` and `schema`: what can be chosen, and the form of result.json."""

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Annotated, Literal

import typer
from typer import Argument

from bench.cli.options import flag, option, takes
from reports.formats.terminal import SafeConsole

commands = typer.Typer()
SHAPE_FIELDS = ("channels", "classes", "also_train", "decoder", "prefix_tokens")
TABLES = {  # what is listed -> "module:function", imported when it is asked for
    "methods": "bench.cli.listing.methods:show_methods",
    "datasets": "bench.cli.listing.registries:show_datasets",
    "backbones": "bench.cli.listing.registries:show_backbones",
    "decoders": "bench.cli.listing.registries:show_decoders",
    "weights": "bench.cli.listing.registries:show_weights",
    "presets": "bench.cli.listing.settings:show_presets",
    "settings": "bench.cli.listing.settings:show_settings",
    "tables": "bench.cli.listing.registries:show_tables",
    "peft": "bench.cli.listing.methods:show_bridge",  # with `list methods --all`
}
What = Literal[
    "methods", "datasets", "backbones", "decoders", "weights", "presets", "settings", "tables"
]


@dataclass(frozen=True)
class ListOptions:
    """What to list, and on which network to count, as it was typed."""

    registry: Annotated[What, Argument(help="What to list.")]
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
    """Show what can be chosen: methods, data sets, backbones, weights, settings and more.

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
        shown = [options.registry, "peft"] if options.all else [options.registry]
        for what in shown:
            module, _, function = TABLES[what].partition(":")
            getattr(import_module(module), function)(SafeConsole())
        return
    from bench.cli.listing.counts import print_counts  # imports torch

    given = {name: getattr(options, name) for name in SHAPE_FIELDS}
    print_counts(options.backbone, options.patch, given, bridged=options.all, as_json=options.json)


@commands.command()
def schema() -> None:
    """Print the JSON schema of result.json, which a run leaves in its folder."""
    from reports.records.run import describe_schema

    typer.echo(json.dumps(describe_schema(), indent=1))
