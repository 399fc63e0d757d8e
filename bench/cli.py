"""The command line. Parsing needs nothing heavy; each command imports what it needs when it runs."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench.request import ComputeRequest, Request, TuneRequest, takes

EXIT_BAD_INPUT = 2
DEFAULT_TRIALS = 20

app = typer.Typer(
    help="Compare parameter-efficient tuning methods on volumetric segmentation.\n\n"
    "Without data, [bold]python -m bench run --methods all --datasets brats[/] trains every method on synthetic "
    "volumes within minutes; [bold]python -m bench report[/] prints the tables of all that was run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Check data, write example data.", no_args_is_help=True)
app.add_typer(data_app, name="data")


class Format(StrEnum):
    """How ``report`` prints."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


class Kind(StrEnum):
    """Which tables ``report`` makes."""

    MAIN = "main"
    EFFICIENCY = "efficiency"
    ABLATION = "ablation"
    PRETRAINING = "pretraining"
    KSHOT = "kshot"
    GAP = "gap"
    COMPARISON = "comparison"
    ALL = "all"


class Spread(StrEnum):
    """What the ± of ``report`` is over."""

    AUTO = "auto"
    CASES = "cases"
    RUNS = "runs"


class Registry(StrEnum):
    """What ``list`` lists."""

    METHODS = "methods"
    DATASETS = "datasets"
    BACKBONES = "backbones"


@app.command()
@takes(Request, ComputeRequest, TuneRequest)
def run(
    request: Request,
    compute: ComputeRequest,
    tuning: TuneRequest,
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are done.")] = False,
    tune: Annotated[
        int, typer.Option(min=0, help="Tune each method first, with so many trials, and run with the best.")
    ] = 0,
    tuned: Annotated[bool, typer.Option("--tuned", help="Run with the best of the studies below --out.")] = False,
    settings: Annotated[
        Path | None, typer.Option(help="Run with the values of this file, written by `tune --export-tuned`.")
    ] = None,
) -> None:
    """Train and score every method on every data set, and print the table.

    What is done is not repeated: after Ctrl-C or a power cut, give the same command again.

    Exit code: 0 all done, 1 some run failed, 2 bad input, 130 interrupted.
    """
    from bench.experiment import read_request

    if (tune > 0) + tuned + (settings is not None) > 1:
        raise ValueError("run: --tune, --tuned and --settings exclude each other, got more than one")
    if tune:
        per_fold = f"tune.per_fold={str(tuning.tune_per_fold).lower()}"
        request = replace(request, set=[*(request.set or ()), f"tune.trials={tune}", per_fold])
    experiment = read_request(request)  # a misspelt name is answered before the heavy imports below
    from bench.commands import run_grid_command
    from bench.runner import choose_slots
    from bench.tune_commands import choose_values

    slots = choose_slots(compute)
    with_values = partial(choose_values, experiment, tuning, slots, tuned=tuned, settings=settings)
    raise typer.Exit(run_grid_command(experiment, slots, context.obj, with_values, force=force, console=Console()))


@app.command()
@takes(Request, ComputeRequest, TuneRequest)
def tune(
    request: Request,
    compute: ComputeRequest,
    tuning: TuneRequest,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials for each method; default 20.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Seconds of training for each method instead, as in 90s, 30m or 2h.")
    ] = None,
    trial_epochs: Annotated[int, typer.Option(min=0, help="Epochs of a trial; default: those of a run.")] = 0,
    sampler: Annotated[str, typer.Option(help="tpe, gp, random, cmaes or qmc.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="median, wilcoxon or none.")] = "median",
    objectives: Annotated[str, typer.Option(help="dice, or dice,params for a Pareto front.")] = "dice",
    tune_seed: Annotated[int, typer.Option(help="Seed of the sampler.")] = 0,
    export_tuned: Annotated[Path | None, typer.Option(help="Write the best values to this TOML file.")] = None,
) -> None:
    """Search each method's settings and the shared ones under one budget, on the training part of the fold alone.

    The first trial is the default. What has been tried is not repeated: after Ctrl-C or a power cut, give the same
    command again; more of them at once share the work. Then: `run --tuned`.
    """
    from bench.experiment import read_request
    from bench.tune_commands import read_budget, tune_command

    if trials is not None and budget is not None:
        raise ValueError("tune: --trials and --budget exclude each other, got both")
    fields = {
        "trials": 0 if budget else trials or DEFAULT_TRIALS,
        "budget_s": read_budget(budget) if budget else 0.0,
        "epochs": trial_epochs,
        "sampler": sampler,
        "pruner": pruner,
        "objectives": objectives,
        "per_fold": str(tuning.tune_per_fold).lower(),
        "seed": tune_seed,
    }
    assignments = [f"tune.{name}={value}" for name, value in fields.items()]
    experiment = read_request(replace(request, set=[*assignments, *(request.set or ())]))
    from bench.runner import choose_slots

    raise typer.Exit(tune_command(experiment, tuning, choose_slots(compute), export_tuned, Console()))


@app.command()
@takes(Request)
def plan(request: Request) -> None:
    """List the runs that `run` would make with the same arguments: what is done, what is to do."""
    from bench.experiment import read_request

    experiment = read_request(request)
    from bench.commands import plan_command

    plan_command(experiment, Console())


@app.command()
def report(
    format: Annotated[Format, typer.Option(help="What to print.")] = Format.TERMINAL,
    kind: Annotated[Kind, typer.Option(help="Which tables; all: every kind there is something for.")] = Kind.MAIN,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    versus: Annotated[str, typer.Option(help="Test every method against this one.")] = "",
    spread: Annotated[
        Spread, typer.Option(help="± over cases or over runs (folds and seeds); auto: runs where there are several.")
    ] = Spread.AUTO,
    methods: Annotated[str, typer.Option(help="Only these methods, in this order: a comma list.")] = "",
    columns: Annotated[str, typer.Option(help="Only these columns: dice, dice/WT, hd95_mm, tuned_m, ...")] = "",
    name: Annotated[list[str] | None, typer.Option(help="Print a method so: lora=LoRA (repeatable).")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help='Rows under a heading: "Adapters=adaptformer,med_adapter" (repeatable).')
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="CSV of published numbers to put beside ours: dataset,method,quantity,value.")
    ] = None,
    per_dataset: Annotated[
        bool, typer.Option("--per-dataset", help="A main table for each data set instead of all side by side.")
    ] = False,
    macros: Annotated[bool, typer.Option("--macros", help="LaTeX commands for the numbers instead of tables.")] = False,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Compare on the cases that all methods have.")
    ] = False,
    allow_mixed: Annotated[bool, typer.Option("--allow-mixed", help="Let different protocols into one table.")] = False,
) -> None:
    """Print the tables of everything that MLflow holds: Markdown, CSV, or LaTeX that goes into a paper as it is."""
    from bench.reporting import ReportRequest, read_view, report_command

    request = ReportRequest(
        format=format.value,
        kind=kind.value,
        dataset=dataset,
        versus=versus,
        spread=spread.value,
        allow_mixed=allow_mixed,
        intersection=intersection,
        macros=macros,
        per_dataset=per_dataset,
        view=read_view(methods, columns, name or [], group or [], reference),
    )
    report_command(request, out, Console())


@app.command()
def sync(out: Annotated[Path, typer.Option(help="What `run` wrote to.")] = Path("results")) -> None:
    """Send to MLflow every result in the run folders that it lacks.

    After the tracking server was away, after mlflow.db was lost, after the folder was moved.

    Exit code: 0 all are there, 1 some result cannot be read, 2 the store cannot be reached.
    """
    from bench.commands import sync_command

    raise typer.Exit(sync_command(out, Console()))


@app.command()
def check(
    method: Annotated[str, typer.Argument(help="A method's name, or your own as package.module:Class.")],
    backbone: Annotated[str, typer.Option(help="Comma list of backbones to put it into.")] = "tiny_vit,tiny_swin",
) -> None:
    """Check that a method is what it says: start, parameter count, what stays frozen, gradients, saving, merging.

    Exit code: 0 everything holds, 1 something does not, 2 bad input.
    """
    from bench.check import check_command

    raise typer.Exit(check_command(method, backbone, Console()))


@app.command("list")
def list_(
    registry: Annotated[Registry, typer.Argument(help="What to list.")],
    backbone: Annotated[str | None, typer.Option(help="Count what each method trains on this backbone.")] = None,
    patch: Annotated[str | None, typer.Option(help="Patch of the count, D,H,W in voxels; default 128,128,128.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Input channels of the count; default 4.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Classes of the count; default 4.")] = None,
    also_train: Annotated[
        str | None, typer.Option(help="What trains beside the method: decoder (default) or paper, as model.also_train.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the count as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the methods' guide, docs/methods.md.")] = False,
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
        "--markdown": markdown,
    }
    given = [name for name, value in options.items() if value]
    if given and registry is not Registry.METHODS:
        raise ValueError(f"list {registry.value}: only `list methods` takes {given[0]}")
    if markdown:
        from bench.guide import write_guide

        typer.echo(write_guide(), nl=False)
    elif backbone is not None:
        from bench.inventory import read_setting
        from bench.listing import count_command

        count_command(read_setting(backbone, patch, channels, classes, also_train), Console(), as_json=json)
    elif given:
        raise ValueError(f"list methods: {given[0]} needs --backbone")
    else:
        from bench.listing import list_command

        list_command(registry.value, Console())


@app.command()
def score(
    reference: Annotated[Path, typer.Option(help="Label file, or a folder of them: a data root will do.")],
    prediction: Annotated[Path, typer.Option(help="Label file, or a folder of them; of any tool.")],
    dataset: Annotated[str, typer.Option(help="brats, kits or lits: label values, regions, rule for empty masks.")],
    release: Annotated[
        str | None, typer.Option(help="brats2020, brats2023, msd01, kits23, ...; default: by the references' names.")
    ] = None,
    set: Annotated[
        list[str] | None, typer.Option(help="A field of the scoring, as in --set eval.hd95=pooled (repeatable).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score label files that anybody has made, by the code that scores a run.

    Files of two folders belong together if they are of one case: called as the case, or as its label.
    """
    from bench.score_command import ScoreRequest, score_command

    request = ScoreRequest(reference, prediction, dataset, release, set or [])
    score_command(request, Console(), as_json=json)


@app.command()
def schema() -> None:
    """Print the JSON schema of result.json, which every run leaves in its folder."""
    import json

    from bench.results import describe_schema

    typer.echo(json.dumps(describe_schema(), indent=1))


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Open the MLflow UI on the store that `run` writes to."""
    from bench.commands import ui_command

    raise typer.Exit(ui_command(port))


@data_app.command("demo")
def data_demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    dataset: Annotated[str | None, typer.Option(help="brats (default), kits or lits.")] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="A release: brats2019, brats2023, msd01, kits23, lits-kaggle, ..."),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(help="Other seeds give other volumes.")] = 0,
    full_size: Annotated[bool, typer.Option("--full-size", help="155x240x240 voxels instead of 32x64x64.")] = False,
) -> None:
    """Write synthetic volumes in the real data set's files and folders."""
    from bench.data_commands import demo_command

    demo_command(dataset, layout, out, cases, seed, full_size=full_size, console=Console())


@data_app.command("check")
def data_check(
    data_root: Annotated[Path, typer.Option(help="Folder of the data, as it was downloaded.")],
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="Comma list of brats, kits, lits; default: all that are there.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes that read; 0: one a core.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Read every byte of a data set and list everything that is wrong with it.

    Exit code: 0 all cases can be used (warnings do not count), 1 some cannot, 2 bad input.
    """
    from bench.data_commands import check_command

    raise typer.Exit(check_command(data_root, datasets, jobs, as_json=json, console=Console()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; bad input is one sentence on stderr and 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        app(args=typed, obj=shlex.join(["python", "-m", "bench", *typed]))
    except SystemExit as ended:
        return int(ended.code or 0)
    except ValueError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    raise AssertionError("unreachable: typer ends with SystemExit")
