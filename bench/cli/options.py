"""The options that several commands share, and how a command takes a dataclass of options."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from inspect import Parameter
from math import inf
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeVar, cast, get_type_hints

from typer import Option

from bench.cli.completion import COMPLETIONS
from bench.specs.protocol import SpecError
from bench.specs.run import Means
from datasets.files import check_writable
from methods.execution import PLAIN, Execution

T = TypeVar("T")
UNITS_S = {"s": 1, "m": 60, "h": 3600}
KEYWORD = Parameter.KEYWORD_ONLY
PANELS = {  # of the help of commands that take a `Request`
    "What to compare": "methods match_params datasets folds seeds shots backbone weights decoder "
    "decoder_from",
    "Data": "data_root release skip_bad_cases",
    "How long, and how": "preset epochs max_steps precision set timeout checkpoint_minutes",
    "Tuning": "tune tuned settings storage search only study trial_epochs tune_per_fold trials "
    "budget sampler pruner objectives export_tuned workers tune_seed",
    "Where to compute": "device devices jobs data_workers executor slurm max_jobs detach",
    "Memory and speed": "checkpointing slices_per_chunk compile",
    "Output": "out force verbose quiet cost largest_patch",
}
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names.split()}


def option(default: T | EllipsisType, help: str, *, at_least: int | None = None) -> T:
    """Declare an option of a command as a dataclass field; ``...``: it must be given."""
    return cast(T, field(default=default, metadata={"help": help, "min": at_least}))


def flag(help: str) -> bool:
    """Declare an option without a value, which is off where it is not given."""
    return option(False, help)


def read_duration(text: str, option: str) -> float:
    """Return the seconds of a length of time such as ``90s``, ``30m`` or ``2h``.

    Raises: SpecError, which names the option, if it is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", text, re.ASCII)
    if match is None or float(match[1]) == 0:
        rule = "must be a length of time such as 90s, 30m or 2h"
        raise SpecError(f"{option}: {rule}, got '{text:.60}'")
    return float(match[1]) * UNITS_S[match[2]]


def check_out(out: Path | None) -> None:
    """Raise ValueError if a file cannot be written at ``out``."""
    if out is None:
        return
    rule = f"report: --out must be a file in a folder that exists, got {out}"
    if out.is_dir():
        raise ValueError(f"{rule}, which is a folder (--figures fills one)")
    if out.exists() and not out.is_file():
        raise ValueError(f"{rule}, which is a device or a pipe (without --out the text is printed)")
    if not out.parent.is_dir():
        raise ValueError(f"{rule}, but there is no folder {out.parent}")
    check_writable(out)


@dataclass(frozen=True)
class Request:
    """What to run, as it was typed; nothing is checked yet."""

    methods: str = option(
        "paper",
        "Comma list of methods, families, paper (its seven) or all; brackets set or sweep: "
        '"lora\\[rank=4,8],linear,net:nnunet".',
    )
    match_params: str | None = option(
        None, "Choose each method's capacity (rank, bottleneck, prompts) for a size such as 0.3M."
    )
    datasets: str = option(
        "brats", "Comma list of brats, kits, lits, their releases, datalists (.json), or all."
    )
    folds: str = option("0", 'Held-out folds: "0", "0,2", "0-4" or "all".')
    seeds: str = option("0", '"0", "0,7" or "0-2".')
    shots: str | None = option(None, "Few-shot, nested: 1,5,10 training cases; 0: all.")
    preset: str | None = option(None, "demo (default), quick (default with --data-root) or paper.")
    data_root: list[str] | None = option(
        None, "Folder of the data set, or NAME=FOLDER (repeatable); default: phantoms are written."
    )
    release: str | None = option(
        None, "Comma list of releases, such as kits23, where files do not tell; default: by names."
    )
    backbone: str | None = option(None, "See `list backbones`; default: the preset's.")
    weights: str | None = option(None, "Pre-training of the backbone; default: the preset's.")
    decoder: str | None = option(
        None, "own, medtuning or one of `list decoders`; default: the preset's."
    )
    decoder_from: str | None = option(
        None,
        "Begin with the decoder of a run (folder or id); see model.decoder_mode: frozen, peft.",
    )
    epochs: int | None = option(None, "Training epochs; default: the preset's.")
    max_steps: int | None = option(None, "Stop training after so many steps.")
    precision: str | None = option(None, "32-true, bf16-mixed or 16-mixed; default: the preset's.")
    set: list[str] | None = option(None, "Any field of the protocol: train.lr=3e-4 (repeatable).")
    skip_bad_cases: bool = flag("Leave out cases that cannot be used, and record them.")
    out: Path = option(Path("results"), "Where runs, phantoms and prepared data are kept.")


@dataclass(frozen=True)
class ComputeRequest:
    """Where and how to compute, as it was typed."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1 or mps.")
    devices: int = option(
        1,
        "Devices of each run, which share its batches and cases (on a CPU: processes).",
        at_least=1,
    )
    jobs: int | None = option(
        None,
        "Runs at once; default: one a GPU, on a CPU what its cores have room for, at most 4.",
        at_least=1,
    )
    timeout: str | None = option(
        None, "How long a run, or a trial, may take: 90s, 30m or 8h; then it ends as timeout."
    )
    checkpoint_minutes: float = option(
        10.0, "Minutes between two checkpoints of a run, from which it goes on after a cut."
    )
    data_workers: int | None = option(
        None,
        "Threads of a run that read patches ahead; default: on a GPU the cores to spare, at most "
        "8, on a CPU 0.",
        at_least=0,
    )
    slices_per_chunk: int | None = option(
        None,
        "Slices that go through the backbone at once; 0 = all. Saves memory. Default: 0; with "
        "--checkpointing on a GPU as many as fit.",
        at_least=0,
    )
    checkpointing: bool = flag("Compute activations twice instead of keeping them. Saves memory.")
    compile: bool = flag("Compile the network by torch.compile, which takes a while at the start.")

    @property
    def execution(self) -> Execution:
        if self.slices_per_chunk is None and not self.checkpointing:
            return PLAIN
        return Execution(self.checkpointing, self.slices_per_chunk)

    @property
    def means(self) -> Means:
        """Raises: SpecError if a length of time is none."""
        if not 0 < self.checkpoint_minutes < inf:
            rule = f"must be a number above 0, got {self.checkpoint_minutes:g}"
            raise SpecError(f"--checkpoint-minutes: {rule}")
        checkpoint_s = 60 * self.checkpoint_minutes
        means = Means(self.execution, checkpoint_s, self.devices, self.data_workers)
        return replace(means, compiled=self.compile)

    @property
    def timeout_s(self) -> float:
        """Raises: SpecError if what was typed is no length of time."""
        return inf if self.timeout is None else read_duration(self.timeout, "--timeout")


@dataclass(frozen=True)
class TuneRequest:
    """How to tune, as it was typed."""

    storage: str | None = option(
        None,
        "Optuna storage: URL, grpc://HOST:PORT, serve (starts one) or journal:FILE; default: "
        "tuning/optuna.db below --out.",
    )
    search: list[str] | None = option(
        None, "Search this, not what is declared: lora.rank=2..64, train.lr=1e-4,1e-3 (repeatable)."
    )
    only: str = option("", "Search these alone, others keep their defaults: train.lr,lora.rank.")
    study: str = option("", "Put in front of the studies' names, to begin new ones.")
    trial_epochs: int | None = option(
        None, "Epochs of a trial; default: those of a run, 10 for the demo.", at_least=1
    )
    tune_per_fold: bool = flag("A study for each fold; default: that of the first fold is used.")

    def check_used(self, assignments: Sequence[str], *, tunes: bool, is_tuned: bool) -> None:
        """Raise SpecError for an option, or a field of ``--set``, that would do nothing.

        Args:
            assignments: what ``--set`` was given.
            tunes: the command tunes.
            is_tuned: the command takes values from studies, which ``--study`` names.
        """
        if tunes:
            return
        for item in fields(self):
            is_given = getattr(self, item.name) != item.default
            if is_given and not (is_tuned and item.name == "study"):
                name = f"--{item.name.replace('_', '-')}"
                needs = "--tune or --tuned" if item.name == "study" else "--tune"
                raise SpecError(f"{name}: does nothing without {needs}")
        for assignment in assignments:
            if assignment.startswith("tune."):
                hint = "or the command tune"
                raise SpecError(f"--set: {assignment} does nothing without --tune ({hint})")

    @property
    def dimensions(self) -> list[str]:
        """What ``--only`` names; empty: all."""
        return [key.strip() for key in self.only.split(",") if key.strip()]


def takes(*kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a command's first parameters, a dataclass each, into one option a field, for typer."""

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
            parameters += _list_parameters(kind, has_panels=Request in kinds)
        own = list(inspect.signature(command, eval_str=True).parameters.values())[len(kinds) :]
        parameters += [item.replace(kind=KEYWORD) for item in own]
        signature = inspect.Signature(parameters)
        call.__signature__ = signature  # type: ignore[attr-defined]  # typer reads it
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        return call

    return decorate


def _list_parameters(kind: type, *, has_panels: bool) -> list[Parameter]:
    """Return a keyword parameter a field, which is an `option` or has typer's own annotation."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = []
    for item in fields(kind):
        hint = hints[item.name]
        default: Any = Parameter.empty
        if item.metadata:
            names = [f"--{item.name.replace('_', '-')}"] if hint is bool else []
            panel = PANEL_OF.get(item.name) if has_panels else None
            complete = COMPLETIONS.get(item.name) if has_panels else None
            extras: Any = {"rich_help_panel": panel, "autocompletion": complete}
            default = Option(item.default, *names, **item.metadata, **extras)
        parameters.append(Parameter(item.name, KEYWORD, default=default, annotation=hint))
    return parameters
