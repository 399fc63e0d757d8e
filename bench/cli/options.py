"""The options that several commands share, and how a command takes a dataclass of options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Annotated, get_type_hints

from typer import Option

from methods.execution import Execution


@dataclass(frozen=True)
class Request:
    """What to run, as it was typed; nothing is checked yet."""

    methods: Annotated[
        str, Option(help='Comma list or "all"; brackets set or sweep: "lora\\[rank=4,8],linear".')
    ] = "all"
    datasets: Annotated[
        str, Option(help='Comma list of brats, kits, lits and datalists (.json), or "all".')
    ] = "brats"
    folds: Annotated[str, Option(help='Held-out folds: "0", "0,2", "0-4" or "all".')] = "0"
    seeds: Annotated[str, Option(help='"0", "0,7" or "0-2".')] = "0"
    shots: Annotated[
        str | None,
        Option(help='Few-shot: "1,5,10" training cases, nested, a protocol each; 0 = all.'),
    ] = None
    preset: Annotated[
        str | None, Option(help="demo, quick or paper; default: quick with --data-root, else demo.")
    ] = None
    data_root: Annotated[
        list[str] | None,
        Option(
            help="Folder of the data set, or NAME=FOLDER (repeatable); default: phantoms are "
            "written."
        ),
    ] = None
    backbone: Annotated[str | None, Option(help="See `list backbones`; default: the preset's.")] = (
        None
    )
    weights: Annotated[
        str | None, Option(help="Pre-training of the backbone; default: the preset's.")
    ] = None
    epochs: Annotated[int | None, Option(help="Training epochs; default: the preset's.")] = None
    max_steps: Annotated[int | None, Option(help="Stop training after so many steps.")] = None
    precision: Annotated[
        str | None, Option(help="32-true, bf16-mixed or 16-mixed; default: the preset's.")
    ] = None
    set: Annotated[
        list[str] | None,
        Option(help="Any field of the protocol, as in --set train.lr=3e-4 (repeatable)."),
    ] = None
    skip_bad_cases: Annotated[
        bool,
        Option("--skip-bad-cases", help="Leave out cases that cannot be used, and record them."),
    ] = False
    out: Annotated[Path, Option(help="Where runs, phantoms and prepared data are kept.")] = Path(
        "results"
    )


@dataclass(frozen=True)
class ComputeRequest:
    """Where and how to compute, as it was typed."""

    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    jobs: Annotated[
        int | None,
        Option(min=1, help="Runs at once; default: one a GPU, on a CPU one a core, at most 4."),
    ] = None
    slices_per_chunk: Annotated[
        int,
        Option(min=0, help="Slices that go through the backbone at once; 0 = all. Saves memory."),
    ] = 0
    checkpointing: Annotated[
        bool,
        Option(
            "--checkpointing",
            help="Compute activations twice instead of keeping them. Saves memory.",
        ),
    ] = False

    @property
    def execution(self) -> Execution:
        return Execution(self.checkpointing, self.slices_per_chunk)


@dataclass(frozen=True)
class TuneRequest:
    """How to tune, as it was typed."""

    storage: Annotated[
        str | None,
        Option(
            help="Optuna storage: a database URL or journal:FILE; default: tuning/optuna.db "
            "below --out."
        ),
    ] = None
    search: Annotated[
        list[str] | None,
        Option(
            help="Search this instead of what is declared: lora.rank=2..64, train.lr=1e-4,1e-3 "
            "(repeatable)."
        ),
    ] = None
    only: Annotated[
        str,
        Option(
            help="Search these dimensions alone, the others keep their defaults: "
            "train.lr,lora.rank."
        ),
    ] = ""
    study: Annotated[str, Option(help="Put in front of the studies' names, to begin new ones.")] = (
        ""
    )
    trial_epochs: Annotated[
        int | None,
        Option(min=1, help="Epochs of a trial; default: those of a run, 10 for the demo."),
    ] = None
    tune_per_fold: Annotated[
        bool,
        Option(
            "--tune-per-fold",
            help="A study for each fold; default: that of the first fold is used.",
        ),
    ] = False

    @property
    def dimensions(self) -> list[str]:
        """What ``--only`` names; empty: all."""
        return [key.strip() for key in self.only.split(",") if key.strip()]


def takes(*kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a command's first parameters, a dataclass each, into one option a field."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**options: object) -> None:
            requests = []
            for kind in kinds:
                given = {item.name: options.pop(item.name) for item in fields(kind)}
                requests.append(kind(**given))
            command(*requests, **options)

        parameters: list[Parameter] = []
        for kind in kinds:
            parameters += _list_parameters(kind)
        own = list(inspect.signature(command, eval_str=True).parameters.values())[len(kinds) :]
        parameters += [item.replace(kind=Parameter.KEYWORD_ONLY) for item in own]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # for typer
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        return call

    return decorate


def _list_parameters(kind: type) -> list[Parameter]:
    """Return a keyword parameter for each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = []
    for item in fields(kind):
        default = Parameter.empty if item.default is MISSING else item.default
        parameters.append(
            Parameter(
                item.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[item.name]
            )
        )
    return parameters
