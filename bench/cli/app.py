"""The command line: the list of commands, and the exit code of bad input.

A command's file is imported when the command is used, so that ``--help`` needs nothing heavy.
"""

import logging
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_group

from bench.cli.terminal import EXIT_BAD_INPUT

COMMANDS = {  # name: the module whose `commands` hold it, and the first line of its help
    "run": (
        "bench.cli.run",
        "Train and score every method on every data set, and print the table.",
    ),
    "tune": (
        "bench.cli.tune",
        "Search each method's settings and the shared ones under one budget.",
    ),
    "plan": (
        "bench.cli.run",
        "List the runs that `run` would make with the same arguments, done and to do.",
    ),
    "predict": ("bench.cli.run", "Segment a case with the network of a run."),
    "report": ("bench.cli.report", "Print the tables of everything that MLflow holds."),
    "compare": (
        "bench.cli.store",
        "Print in what two runs differ, and their difference of Dice by case.",
    ),
    "sync": ("bench.cli.store", "Send to MLflow every result and study below --out that it lacks."),
    "score": ("bench.cli.score", "Score label files of any origin, by the code that scores a run."),
    "pretrain": ("bench.cli.pretrain", "Pre-train a tiny ViT on images drawn from formulas."),
    "check": ("bench.cli.show", "Check that a method does what it declares."),
    "list": (
        "bench.cli.show",
        "Show the methods with their settings, the data sets, backbones or decoders.",
    ),
    "schema": (
        "bench.cli.show",
        "Print the JSON schema of result.json, which a run leaves in its folder.",
    ),
    "ui": ("bench.cli.store", "Open the MLflow UI on the store that `run` writes to."),
    "data": ("bench.cli.data", "Check data, write folds and example data."),
}


class LazyGroup(TyperGroup):
    """Lists stand-ins with the lines of `COMMANDS`, and loads the command that is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest


def load_command(name: str) -> Any:
    """Import the file of a command and return the command."""
    module = import_module(COMMANDS[name][0])
    return get_group(module.commands).commands[name]


app = typer.Typer(
    cls=LazyGroup,
    help="Compare parameter-efficient tuning methods on volumetric segmentation.\n\n"
    "Without data, [bold]python -m bench run --methods all --datasets brats[/] trains every method "
    "on synthetic volumes within minutes; [bold]python -m bench report[/] prints the tables of all "
    "that was run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; bad input is one sentence on stderr and 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=typed, obj=shlex.join(["python", "-m", "bench", *typed]))
    except SystemExit as ended:
        return int(ended.code or 0)
    except ValueError as error:
        sentence = f"[red]error:[/] {escape(str(error))}"
        Console(stderr=True).print(sentence, highlight=False, soft_wrap=True)
        return EXIT_BAD_INPUT
    raise AssertionError("unreachable: typer ends with SystemExit")
