"""The arguments that describe an experiment; one dataclass gives `run` and `plan` the same options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

import typer


@dataclass(frozen=True)
class Request:
    """What was typed, nothing checked yet."""

    methods: Annotated[
        str, typer.Option(help='Comma list or "all"; brackets set or sweep: "lora\\[rank=4,8],linear".')
    ] = "all"
    datasets: Annotated[str, typer.Option(help='Comma list of brats, kits, lits, or "all".')] = "brats"
    folds: Annotated[str, typer.Option(help='Held-out folds: "0", "0,2", "0-4" or "all".')] = "0"
    seeds: Annotated[str, typer.Option(help='"0", "0,7" or "0-2".')] = "0"
    preset: Annotated[
        str | None, typer.Option(help="demo, quick or paper; default: quick with --data-root, else demo.")
    ] = None
    data_root: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the data set, or NAME=FOLDER (repeatable); default: phantoms are written."),
    ] = None
    backbone: Annotated[str | None, typer.Option(help="See `list backbones`; default: the preset's.")] = None
    weights: Annotated[str | None, typer.Option(help="Pre-training of the backbone; default: the preset's.")] = None
    epochs: Annotated[int | None, typer.Option(help="Training epochs; default: the preset's.")] = None
    max_steps: Annotated[int | None, typer.Option(help="Stop training after so many steps.")] = None
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed; default: the preset's.")] = (
        None
    )
    set: Annotated[
        list[str] | None, typer.Option(help="Any field of the protocol, as in --set train.lr=3e-4 (repeatable).")
    ] = None
    skip_bad_cases: Annotated[
        bool, typer.Option("--skip-bad-cases", help="Leave out cases that cannot be used, and record them.")
    ] = False
    out: Annotated[Path, typer.Option(help="Where runs, phantoms and prepared data are kept.")] = Path("results")


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the command's first parameter, a `Request`, by one option a field."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    hints = get_type_hints(Request, include_extras=True)
    names = [item.name for item in fields(Request)]
    shared = [
        inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=hints[item.name])
        for item in fields(Request)
    ]

    def call(**options: object) -> None:
        request = Request(**{name: options.pop(name) for name in names})  # type: ignore[arg-type]  # typer checked them
        command(request, **options)

    parameters = shared + [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    call.__annotations__ = {item.name: item.annotation for item in parameters}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call
