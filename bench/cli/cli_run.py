"""The commands that compute: run, tune, plan, predict, sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.options import ComputeRequest, Request, TuneRequest, takes

DEFAULT_TRIALS = 20


@takes(Request, ComputeRequest, TuneRequest)
def run(
    request: Request,
    compute: ComputeRequest,
    tuning: TuneRequest,
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are done.")] = False,
    tune: Annotated[
        int,
        typer.Option(
            min=0, help="Tune each method first, with so many trials, and run with the best."
        ),
    ] = 0,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Run with the best of the studies below --out.")
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(help="Run with the values of this file, written by `tune --export-tuned`."),
    ] = None,
) -> None:
    """Train and score every method on every data set, and print the table.

    What is done is not repeated: after Ctrl-C or a power cut, give the same command again.

    Exit code: 0 all done, 1 some run failed, 2 bad input, 130 interrupted.
    """
    from bench.cli.request import read_request

    if (tune > 0) + tuned + (settings is not None) > 1:
        raise ValueError(
            "run: --tune, --tuned and --settings exclude each other, got more than one"
        )
    if tune:
        request = with_budget(request, tuning, {"trials": tune})
    experiment = read_request(request)  # a misspelt name is answered before the heavy imports below
    from bench.cli.run import run_grid_command
    from bench.cli.tune import check_searches, choose_values
    from bench.grid.runner import choose_slots

    check_searches(experiment, tuning)
    slots = choose_slots(compute.device, compute.jobs, compute.execution)
    with_values = partial(choose_values, experiment, tuning, slots, tuned=tuned, settings=settings)
    raise typer.Exit(
        run_grid_command(
            experiment, slots, context.obj, with_values, force=force, console=Console()
        )
    )


@takes(Request, ComputeRequest, TuneRequest)
def tune(
    request: Request,
    compute: ComputeRequest,
    tuning: TuneRequest,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials for each method; default 20.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Seconds of training for each method instead, as in 90s, 30m or 2h."),
    ] = None,
    sampler: Annotated[str, typer.Option(help="tpe, gp, random, cmaes or qmc.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="median, wilcoxon or none.")] = "median",
    objectives: Annotated[
        str, typer.Option(help="dice, or dice,params for a Pareto front.")
    ] = "dice",
    tune_seed: Annotated[int, typer.Option(help="Seed of the sampler.")] = 0,
    export_tuned: Annotated[
        Path | None, typer.Option(help="Write the best values to this TOML file.")
    ] = None,
) -> None:
    """Search each method's settings and the shared ones under one budget, on the training part of the fold alone.

    The first trial is the default. What has been tried is not repeated: after Ctrl-C or a power
    cut, give the same command again; more of them at once share the work. Then: `run --tuned`.
    """
    from bench.cli.request import read_request
    from bench.cli.tune import check_searches, read_budget, tune_command

    if trials is not None and budget is not None:
        raise ValueError("tune: --trials and --budget exclude each other, got both")
    fields = {
        "trials": 0 if budget else trials or DEFAULT_TRIALS,
        "budget_s": read_budget(budget) if budget else 0.0,
        "sampler": sampler,
        "pruner": pruner,
        "objectives": objectives,
        "seed": tune_seed,
    }
    experiment = read_request(with_budget(request, tuning, fields))
    from bench.grid.runner import choose_slots

    check_searches(experiment, tuning)
    raise typer.Exit(
        tune_command(
            experiment,
            tuning,
            choose_slots(compute.device, compute.jobs, compute.execution),
            export_tuned,
            Console(),
        )
    )


def with_budget(request: Request, tuning: TuneRequest, budget: Mapping[str, object]) -> Request:
    """Return the request with the budget of its studies as settings of the protocol; what ``--set`` says goes first."""
    given = {**budget, "per_fold": tuning.tune_per_fold, "epochs": tuning.trial_epochs or 0}
    return replace(
        request,
        set=[*(f"tune.{name}={value}" for name, value in given.items()), *(request.set or ())],
    )


@takes(Request)
def plan(request: Request) -> None:
    """List the runs that `run` would make with the same arguments: what is done, what is to do."""
    from bench.cli.request import read_request

    experiment = read_request(request)
    from bench.cli.run import plan_command

    plan_command(experiment, Console())


def predict(
    run: Annotated[str, typer.Option("--run", help="Id of a run that is done, or its folder.")],
    input: Annotated[
        list[str],
        typer.Option(
            help="A case: its folder, its volume, its id in the run's data set, or CHANNEL=FILE for each channel."
        ),
    ],
    output: Annotated[Path, typer.Option(help="File to write, .nii or .nii.gz.")],
    out: Annotated[Path, typer.Option(help="What `run` wrote to.")] = Path("results"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    data_root: Annotated[
        Path | None, typer.Option(help="Where the run's data are now, if they were moved.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Where the file of pre-trained weights is now, if it was moved."),
    ] = None,
) -> None:
    """Segment a case with the network of a run; the file has the input's grid and header, and the release's values."""
    from bench.grid.runner import choose_slots
    from bench.run.predict import find_run, predict_case

    folder = find_run(run, out)
    place = choose_slots(device, 1).devices[0]
    written = predict_case(folder, input, output, place, data_root, weights)
    volumes = written.volumes_ml or {}
    found = ", ".join(f"{region} {size:.1f} ml" for region, size in volumes.items())
    typer.echo(
        f"wrote {written.output}: case {written.case}, {found or 'volumes unknown, as the spacing is'}"
    )


def sync(out: Annotated[Path, typer.Option(help="What `run` wrote to.")] = Path("results")) -> None:
    """Send to MLflow every result and every tuning study below --out that it lacks.

    After the tracking server was away, after mlflow.db was lost, after the folder was moved.

    Exit code: 0 all are there, 1 some result cannot be read, 2 the store cannot be reached.
    """
    from bench.cli.store import sync_command

    raise typer.Exit(sync_command(out, Console()))
