"""The commands that tell what there is: list, check, schema."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console


class Registry(StrEnum):
    """What ``list`` lists."""

    METHODS = "methods"
    DATASETS = "datasets"
    BACKBONES = "backbones"


def list_(
    registry: Annotated[Registry, typer.Argument(help="What to list.")],
    backbone: Annotated[
        str | None, typer.Option(help="Count what each method trains on this backbone.")
    ] = None,
    patch: Annotated[
        str | None, typer.Option(help="Patch of the count, D,H,W in voxels; default 128,128,128.")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Input channels of the count; default 4.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Classes of the count; default 4.")
    ] = None,
    also_train: Annotated[
        str | None,
        typer.Option(
            help="What trains beside the method: decoder (default) or paper, as model.also_train."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the count as JSON.")] = False,
) -> None:
    """Show the methods, data sets or backbones: papers, roles, settings with their defaults.

    With a backbone: parameters of each method there, total, trained and trained by part.
    """
    options = {
        "--backbone": backbone,
        "--patch": patch,
        "--channels": channels,
        "--classes": classes,
        "--also-train": also_train,
        "--json": json,
    }
    given = [name for name, value in options.items() if value]
    if given and registry is not Registry.METHODS:
        raise ValueError(f"list {registry.value}: only `list methods` takes {given[0]}")
    if backbone is not None:
        from bench.cli.show import count_command
        from bench.cost.inventory import read_network_shape

        count_command(
            read_network_shape(backbone, patch, channels, classes, also_train),
            Console(),
            as_json=json,
        )
    elif given:
        raise ValueError(f"list methods: {given[0]} needs --backbone")
    else:
        from bench.cli.show import list_command

        list_command(registry.value, Console())


def check(
    method: Annotated[
        str, typer.Argument(help="A method's name, or your own as package.module:Class.")
    ],
    backbone: Annotated[
        str, typer.Option(help="Comma list of backbones to put it into.")
    ] = "tiny_vit,tiny_swin",
) -> None:
    """Check that a method is what it says: start, parameter count, what stays frozen, gradients, saving, merging.

    Exit code: 0 everything holds, 1 something does not, 2 bad input.
    """
    from bench.cli.check import check_command

    raise typer.Exit(check_command(method, backbone, Console()))


def schema() -> None:
    """Print the JSON schema of result.json, which every run leaves in its folder."""
    import json

    from reports.records.run import describe_schema

    typer.echo(json.dumps(describe_schema(), indent=1))
