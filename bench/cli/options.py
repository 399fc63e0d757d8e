"""The arguments that commands share: one dataclass gives each of them the same options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from methods.execution import Execution


@dataclass(frozen=True)
class Request:
    """What was typed, nothing checked yet."""

    methods: Annotated[
        str,
        typer.Option(help='Comma list or "all"; brackets set or sweep: "lora\\[rank=4,8],linear".'),
    ] = "all"
    datasets: Annotated[
        str, typer.Option(help='Comma list of brats, kits, lits and datalists (.json), or "all".')
    ] = "brats"
    folds: Annotated[str, typer.Option(help='Held-out folds: "0", "0,2", "0-4" or "all".')] = "0"
    seeds: Annotated[str, typer.Option(help='"0", "0,7" or "0-2".')] = "0"
    shots: Annotated[
        str | None,
        typer.Option(help='Few-shot: "1,5,10" training cases, nested, a protocol each; 0 = all.'),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(help="demo, quick or paper; default: quick with --data-root, else demo."),
    ] = None
    data_root: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the data set, or NAME=FOLDER (repeatable); default: phantoms are written."
        ),
    ] = None
    backbone: Annotated[
        str | None, typer.Option(help="See `list backbones`; default: the preset's.")
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="Pre-training of the backbone; default: the preset's.")
    ] = None
    epochs: Annotated[int | None, typer.Option(help="Training epochs; default: the preset's.")] = (
        None
    )
    max_steps: Annotated[int | None, typer.Option(help="Stop training after so many steps.")] = None
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed; default: the preset's.")
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(help="Any field of the protocol, as in --set train.lr=3e-4 (repeatable)."),
    ] = None
    skip_bad_cases: Annotated[
        bool,
        typer.Option(
            "--skip-bad-cases", help="Leave out cases that cannot be used, and record them."
        ),
    ] = False
    out: Annotated[Path, typer.Option(help="Where runs, phantoms and prepared data are kept.")] = (
        Path("results")
    )


@dataclass(frozen=True)
class ComputeRequest:
    """What was typed about where and how to compute, nothing checked yet."""

    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs at once; default: one a GPU, on a CPU one a core, at most 4."
        ),
    ] = None
    slices_per_chunk: Annotated[
        int,
        typer.Option(
            min=0, help="Slices that go through the backbone at once; 0 = all. Saves memory."
        ),
    ] = 0
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Compute activations twice instead of keeping them. Saves memory.",
        ),
    ] = False

    @property
    def execution(self) -> Execution:
        """How the networks compute."""
        return Execution(self.checkpointing, self.slices_per_chunk)


@dataclass(frozen=True)
class TuneRequest:
    """What was typed about tuning, nothing checked yet."""

    storage: Annotated[
        str | None,
        typer.Option(
            help="Optuna storage: a database URL or journal:FILE; default: tuning/optuna.db below --out."
        ),
    ] = None
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="Search this instead of what is declared: lora.rank=2..64, train.lr=1e-4,1e-3 (repeatable)."
        ),
    ] = None
    only: Annotated[
        str,
        typer.Option(
            help="Search these dimensions alone, the others keep their defaults: train.lr,lora.rank."
        ),
    ] = ""
    study: Annotated[
        str, typer.Option(help="Put in front of the studies' names, to begin new ones.")
    ] = ""
    trial_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of a trial; default: those of a run, 10 for the demo."),
    ] = None
    tune_per_fold: Annotated[
        bool,
        typer.Option(
            "--tune-per-fold",
            help="A study for each fold; default: that of the first fold is used.",
        ),
    ] = False

    @property
    def dimensions(self) -> list[str]:
        """What ``--only`` names; empty: all."""
        return [key.strip() for key in self.only.split(",") if key.strip()]


def takes(*kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's first parameters, one for each dataclass, by one option a field."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[len(kinds) :]
        shared = [
            inspect.Parameter(
                item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=hint
            )
            for kind in kinds
            for item, hint in zip(
                fields(kind), get_type_hints(kind, include_extras=True).values(), strict=True
            )
        ]

        def call(**options: object) -> None:
            requests = [
                kind(**{item.name: options.pop(item.name) for item in fields(kind)})
                for kind in kinds
            ]
            command(*requests, **options)

        parameters = shared + [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        return call

    return decorate
