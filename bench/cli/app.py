"""The command line: which commands there are, and what bad input ends in.

Parsing needs nothing heavy; each command imports what it needs when it runs.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from bench.cli import cli_data, cli_pretrain, cli_report, cli_run, cli_score, cli_show

EXIT_BAD_INPUT = 2

app = typer.Typer(
    help="Compare parameter-efficient tuning methods on volumetric segmentation.\n\n"
    "Without data, [bold]python -m bench run --methods all --datasets brats[/] trains every method on synthetic "
    "volumes within minutes; [bold]python -m bench report[/] prints the tables of all that was run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(cli_run.run)
app.command()(cli_run.tune)
app.command()(cli_run.plan)
app.command()(cli_run.predict)
app.command()(cli_report.report)
app.command()(cli_report.compare)
app.command()(cli_run.sync)
app.command()(cli_score.score)
app.command()(cli_pretrain.pretrain)
app.command()(cli_show.check)
app.command("list")(cli_show.list_)
app.command()(cli_show.schema)
app.command()(cli_report.ui)

data_app = typer.Typer(help="Check data, write folds and example data.", no_args_is_help=True)
data_app.command("demo")(cli_data.data_demo)
data_app.command("check")(cli_data.data_check)
data_app.command("splits")(cli_data.data_splits)
app.add_typer(data_app, name="data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; bad input is one sentence on stderr and 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        app(args=typed, obj=shlex.join(["python", "-m", "bench", *typed]))
    except SystemExit as ended:
        return int(ended.code or 0)
    except ValueError as error:
        Console(stderr=True).print(
            f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        return EXIT_BAD_INPUT
    raise AssertionError("unreachable: typer ends with SystemExit")
