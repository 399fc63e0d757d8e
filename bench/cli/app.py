"""The command line: the list of commands, and the exit code of bad input.

A command's file is imported when the command is used, so that ``--help`` needs nothing heavy.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup
from typer.main import get_group

import bench
from bench.cli.terminal import (
    EXIT_FAILED,
    prepare_output,
    report_bad_input,
    report_failure,
    report_interrupt,
)
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
    "report": ("bench.cli.reporting.command", "Print the tables of everything that MLflow holds."),
    "compare": (
        "bench.cli.reporting.compare",
        "Print in what two runs differ, and their difference of Dice by case.",
    ),
    "sync": ("bench.cli.store", "Send to MLflow every result and study below --out that it lacks."),
    "score": (
        "bench.cli.segmentations.score",
        "Score label files of any origin, by the code that scores a run.",
    ),
    "pretrain": ("bench.cli.pretrain", "Pre-train a tiny ViT on images drawn from formulas."),
    "check": ("bench.cli.checking.check", "Check that methods do what they declare."),
    "list": (
        "bench.cli.listing.command",
        "Show what can be chosen: methods, data sets, backbones, weights, settings and more.",
    ),
    "schema": (
        "bench.cli.listing.command",
        "Print the JSON schema of result.json, which a run leaves in its folder.",
    ),
    "ui": ("bench.cli.store", "Open the MLflow UI on the store that `run` writes to."),
    "doctor": (
        "bench.cli.doctor",
        "Print versions, devices, disks, weights and the store, for a report of a bug.",
    ),
    "data": ("bench.cli.data.command", "Check data, write folds and example data."),
}


OTHER_SPELLINGS = {"--dataset": "--datasets", "--output": "--out"}  # each stands for the other
OPTION = re.compile(r"--[\w-]+")
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


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
            if isinstance(ended.__context__, BrokenPipeError):  # of `| head`
                ctx.exit(EXIT_FAILED)
            raise ForeignExitError(f"sys.exit({ended.code!r:.80})") from ended
        except KeyboardInterrupt:  # where a command has nothing to say of it
            ctx.exit(report_interrupt(SafeConsole(), ""))


def load_command(name: str) -> Any:
    """Import the file of a command and return the command."""
    module = import_module(COMMANDS[name][0])
    command = get_group(module.commands).commands[name]
    for each in (command, *getattr(command, "commands", {}).values()):
        _take_other_spellings(each)
    return command


def _take_other_spellings(command: Any) -> None:
    """Let a command understand spellings of options that its help does not show."""
    make_parser = command.make_parser

    def make(ctx: Any) -> Any:
        parser = make_parser(ctx)
        known = parser._long_opt
        for pair in OTHER_SPELLINGS.items():
            for own, other in (pair, pair[::-1]):
                if own in known and other not in known:
                    known[other] = known[own]
        return parser

    command.make_parser = make


app = typer.Typer(
    cls=LazyGroup,
    help="Compare parameter-efficient tuning methods on volumetric segmentation.\n\n"
    f"Without data, [bold]{PROGRAM} run --methods paper --datasets brats[/] trains the seven "
    "methods of Med-Tuning's paper on synthetic volumes within minutes; "
    f"[bold]{PROGRAM} report[/] prints the tables of all that was run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"medtuning-bench {bench.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, Option("--version", callback=print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options before a command."""


for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(lambda: None)


def check_utf8(arguments: Sequence[str]) -> None:
    """Raise ValueError for an argument that cannot be kept in a record, which is UTF-8."""
    for argument in arguments:
        if argument.encode(errors="replace").decode() != argument:
            got = argument.encode("unicode_escape").decode()
            hint = "rename the file; or, where the locale is not UTF-8, set PYTHONUTF8=1"
            raise ValueError(f"command line: must be UTF-8, got {got} ({hint})")


def check_values(arguments: Sequence[str]) -> None:
    """Raise ValueError for an option with an empty value, which would mean its default."""
    empty = [argument[:-1] for argument in arguments if argument.endswith("=")]
    empty += [before for before, argument in pairwise(arguments) if not argument]
    for option in empty:
        if OPTION.fullmatch(option):
            hint = "leave it out for the default; is a variable of the shell not set?"
            raise ValueError(f"command line: {option} must have a value, got an empty one ({hint})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; bad input is one sentence on stderr and 2.

    A command whose work was cut off by code that it has called ends with 1.
    """
    prepare_output()
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        check_utf8(typed)
        check_values(typed)
        command = f"{PROGRAM} {shlex.join(typed)}"
        kept = mask_passwords(command)
        code = app(args=typed, obj=kept, standalone_mode=False, prog_name=PROGRAM)
    except SystemExit as ended:
        return int(ended.code or 0)
    except UsageError as error:
        return report_usage(error)
    except ValueError as error:
        return report_bad_input(str(error))
    except OSError as error:  # a full disk, no permission, a file in the place of a folder
        return report_bad_input(describe_os_error(error))
    except ForeignExitError as error:
        return report_failure(f"code that the command has called has asked to end it ({error})")
    except typer.Abort:
        return report_interrupt(SafeConsole(), "")
    return code if isinstance(code, int) else 0


def report_usage(error: Any) -> int:
    """Print what is wrong with options in one sentence; a command without any prints its help."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    if not message:
        return int(error.exit_code)
    where = "" if error.ctx is None else error.ctx.command_path.removeprefix(PROGRAM).strip()
    start = f"{where}: " if where else ""
    hint = f"{PROGRAM} {where} --help".replace("  ", " ")
    return report_bad_input(f"{start}{message} (see `{hint}`)")
