"""Runs from Python: the same grid, folders and records as the command ``run``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict, Unpack

from bench.cli.display.session import Session
from bench.cli.jobs.compiler import check_compile
from bench.cli.jobs.executor import LOCAL, ExecutorRequest, choose_executor
from bench.cli.options import ComputeRequest, Request, TuneRequest
from bench.cli.run import RunOptions, make_plan, read_run, run_plan
from bench.cli.terminal import EXIT_INTERRUPTED
from bench.specs.run import run_folder
from medtuning_bench.place import as_program
from medtuning_bench.registering import BACKBONE, DATASET, METHOD, find_own, register
from medtuning_bench.results import Results
from methods.base import Method
from reports.formats.terminal import SafeConsole
from reports.records.run import read_result

Names = str | Sequence["str | type[Method]"]
Numbers = int | str | Sequence[int]


class Options(TypedDict, total=False):
    """What may be given to `run` beside methods and data sets; as the options of the command.

    Each has the default of ``medtuning-bench run --help``.
    """

    folds: Numbers  # held-out folds: 0, "0-4", [0, 2] or "all"
    seeds: Numbers
    shots: Numbers  # few-shot: numbers of training cases
    preset: str  # demo, quick or paper
    data_root: str | Path | Mapping[str, str | Path]  # a folder, or one for each data set
    release: str
    backbone: str
    weights: str
    decoder: str
    decoder_from: str | Path  # a run whose decoder all begin with
    epochs: int
    max_steps: int
    precision: str
    match_params: str  # choose each method's capacity for a size such as "0.3M"
    set: Mapping[str, object]  # fields of the protocol: {"train.lr": 3e-4}
    skip_bad_cases: bool
    out: str | Path  # where runs are kept
    device: str
    jobs: int  # runs at once
    timeout: str
    slices_per_chunk: int
    checkpointing: bool
    compile: bool
    tune: int  # trials for each method before its run
    tuned: bool  # with the best values of the studies below ``out``
    settings: str | Path  # with the values of a file
    force: bool  # repeat runs that are done
    quiet: bool


@as_program()
def run(methods: Names = "paper", datasets: Names = "brats", **options: Unpack[Options]) -> Results:
    """Train and score methods on data sets, and return the results; what is done is not repeated.

    Without ``data_root`` the data are synthetic volumes. Progress is shown as bars in a notebook
    and on a terminal, as lines elsewhere. A run that fails has its reason in ``results.runs``.

    Args:
        methods: names or groups as of the command, or classes; ``"lora[rank=4,8]"`` means two.
        datasets: names, releases, datalists (``.json``), or what `register` has returned.
        options: see `Options`.

    Raises: ValueError in one sentence for bad input; KeyboardInterrupt when interrupted, after
    which the same call does the rest.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    _check_names(given)
    given["methods"] = find_own(METHOD, _join(methods))
    given["datasets"] = find_own(DATASET, _join(datasets))
    request, compute, asked = _read_options(given)
    asked.check()
    experiment = read_run(request, TuneRequest(), asked)
    check_compile(compute, experiment.methods, LOCAL)
    executor = choose_executor(ExecutorRequest(), compute, experiment.protocol.train.threads)
    session = Session(_describe(methods, datasets, options), asked, _build_console(), time.time())
    plan = make_plan(experiment, executor, TuneRequest(), asked, session)
    code = run_plan(plan, experiment.out, executor, asked, session)
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    found = [read_result(run_folder(experiment.out, spec)) for spec in plan.runs]
    return Results(tuple(each for each in found if each is not None))


def _check_names(given: Mapping[str, Any]) -> None:
    unknown = [name for name in given if name not in Options.__annotations__]
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise TypeError(f"run: must be among {known}, got {unknown[0]}")


def _read_options(given: dict[str, Any]) -> tuple[Request, ComputeRequest, RunOptions]:
    """Return what was given in the form in which the command has it."""
    for name in ("folds", "seeds", "shots"):
        if name in given:
            given[name] = _join_numbers(given[name])
    if "backbone" in given:
        given["backbone"] = find_own(BACKBONE, given["backbone"])
    if "data_root" in given:
        given["data_root"] = _list_roots(given["data_root"])
    if "set" in given:
        if not isinstance(given["set"], Mapping):
            rule = "set must be a mapping such as {'train.lr': 3e-4}"
            raise TypeError(f"run: {rule}, got {given['set']!r}")
        given["set"] = [f"{key}={_word(value)}" for key, value in given["set"].items()]
    for name, read in (("decoder_from", str), ("out", Path), ("settings", Path)):
        if name in given:
            given[name] = read(given[name])
    found = []
    for kind in (Request, ComputeRequest, RunOptions):
        names = kind.__dataclass_fields__
        found.append(kind(**{name: given[name] for name in names if name in given}))
    request, compute, asked = found
    return request, compute, asked  # type: ignore[return-value]  # one of each kind, in this order


def _join(names: Names) -> str:
    listed = [names] if isinstance(names, str) else list(names)
    return ",".join(register(each) if isinstance(each, type) else each for each in listed)


def _join_numbers(numbers: Numbers) -> str:
    if isinstance(numbers, int | str):
        return str(numbers)
    return ",".join(map(str, numbers))


def _list_roots(roots: str | Path | Mapping[str, str | Path]) -> list[str]:
    if isinstance(roots, Mapping):
        return [f"{name}={folder}" for name, folder in roots.items()]
    return [str(roots)]


def _word(value: object) -> str:
    """Return a value as ``--set`` takes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _describe(methods: Names, datasets: Names, options: Mapping[str, Any]) -> str:
    """Return the call in words, which names its runs in MLflow."""
    parts = [f"methods={_join(methods)!r}", f"datasets={_join(datasets)!r}"]
    parts += [f"{name}={value!r}" for name, value in options.items()]
    return f"mb.run({', '.join(parts)})"


def _build_console() -> SafeConsole:
    """Return a console with bars in a notebook, where these can be drawn."""
    in_notebook = "ipykernel" in sys.modules and find_spec("ipywidgets") is not None
    return SafeConsole(force_jupyter=in_notebook)
