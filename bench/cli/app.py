"""The command line: the list of commands, and the exit code of bad input.

A command's file is imported when the command is used, so that ``--help`` needs nothing heavy.
"""

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from bench.cli.terminal import prepare_output, report_bad_input, report_failure, report_interrupt
from datasets.files import describe_os_error
from datasets.processes import PROGRAM
from reports.formats.terminal import SafeConsole
from reports.records.text import mask_passwords

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
        "bench.cli.planning.plan",
        "List the runs that `run` would make with the same arguments, done and to do.",
    ),
    "status": (
        "bench.cli.jobs.status",
        "Show the state of every run below --out: queued, running, done, failed and why.",
    ),
    "predict": (
        "bench.cli.segmentations.predict",
        "Segment a case with the network of a run; or many cases, or with several runs.",
    ),
    "report": ("bench.cli.reporting.report", "Print the tables of everything that MLflow holds."),
    "compare": (
        "bench.cli.store",
        "Print in what two runs differ, and their difference of Dice by case.",
    ),
    "sync": ("bench.cli.store", "Send to MLflow every result and study below --out that it lacks."),
    "score": (
        "bench.cli.segmentations.score",
        "Score label files of any origin, by the code that scores a run.",
    ),
    "pretrain": ("bench.cli.pretrain", "Pre-train a tiny ViT on images drawn from formulas."),
    "check": ("bench.cli.show", "Check that methods do what they declare."),
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


class ForeignExitError(RuntimeError):
    """Code that a command has called, such as a user's method, has asked to end the process."""


class LazyGroup(TyperGroup):
    """Lists stand-ins with the lines of `COMMANDS`, and loads the command that is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Raises: ForeignExitError for a SystemExit, for commands end by typer's Exit."""
        try:
            return super().invoke(ctx)
        except SystemExit as ended:
            raise ForeignExitError(f"sys.exit({ended.code!r:.80})") from ended
        except KeyboardInterrupt:  # where a command has nothing to say of it
            ctx.exit(report_interrupt(SafeConsole(), ""))


def load_command(name: str) -> Any:
    """Import the file of a command and return the command."""
    module = import_module(COMMANDS[name][0])
    return get_group(module.commands).commands[name]


app = typer.Typer(
    cls=LazyGroup,
    help="Compare parameter-efficient tuning methods on volumetric segmentation.\n\n"
    f"Without data, [bold]{PROGRAM} run --methods paper --datasets brats[/] trains the seven "
    "methods of Med-Tuning's paper on synthetic volumes within minutes; "
    f"[bold]{PROGRAM} report[/] prints the tables of all that was run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def check_utf8(arguments: Sequence[str]) -> None:
    """Raise ValueError for an argument that cannot be kept in a record, which is UTF-8."""
    for argument in arguments:
        if argument.encode(errors="replace").decode() != argument:
            got = argument.encode("unicode_escape").decode()
            hint = "rename the file; or, where the locale is not UTF-8, set PYTHONUTF8=1"
            raise ValueError(f"command line: must be UTF-8, got {got} ({hint})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; bad input is one sentence on stderr and 2.

    A command whose work was cut off by code that it has called ends with 1.
    """
    prepare_output()
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        check_utf8(typed)
        command = f"{PROGRAM} {shlex.join(typed)}"
        app(args=typed, obj=mask_passwords(command))
    except SystemExit as ended:
        return int(ended.code or 0)
    except ValueError as error:
        return report_bad_input(str(error))
    except OSError as error:  # a full disk, no permission, a file in the place of a folder
        return report_bad_input(describe_os_error(error))
    except ForeignExitError as error:
        return report_failure(f"code that the command has called has asked to end it ({error})")
    raise AssertionError("unreachable: typer ends with SystemExit")
