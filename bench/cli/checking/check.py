"""The command `check`: what methods declare, and what they do."""

from typing import Annotated

import typer
from rich.table import Table
from typer import Argument, Option

from bench.cli.checking.promises import Outcomes, check_promises
from bench.cli.terminal import EXIT_FAILED, add_columns
from bench.grid.cells import parse_methods
from methods.base import MissingRole
from reports.formats.terminal import SafeConsole, escape

commands = typer.Typer()


@commands.command()
def check(
    method: Annotated[
        str, Argument(help="A method, all, paper, a family, peft, or package.module:Class.")
    ],
    backbone: Annotated[str, Option(help="Comma list of backbones.")] = "tiny_vit,tiny_swin",
) -> None:
    """Check that methods do what they declare.

    Checked are start, parameter count, what stays frozen, gradients, saving and merging. Of a
    network such as net:unetr: output, patch rule, gradients, saving and repetition.

    Exit code: 0 everything holds, 1 something does not, 2 bad input.
    """
    hosted = failed = False
    specs = parse_methods(method)
    for label, outcomes in check_promises(specs, backbone):
        found = [outcome for row in outcomes.values() for outcome in row.values()]
        hosted |= None in found
        failed |= any(isinstance(outcome, str) for outcome in found)
        if len(specs) == 1:
            SafeConsole().print(_outcomes_table(label, outcomes))
        else:
            _say_outcomes(label, outcomes)
    if failed or not hosted:
        raise typer.Exit(EXIT_FAILED)


def _outcomes_table(label: str, outcomes: Outcomes) -> Table:
    first = next(iter(outcomes.values()))
    title = f"{escape(label)}: what it declares and what it does"
    table = add_columns(Table(title=title, title_justify="left"), ("check", *first))
    for heading, row in outcomes.items():
        table.add_row(heading, *map(_describe_outcome, row.values()))
    return table


def _say_outcomes(label: str, outcomes: Outcomes) -> None:
    """Print a line for each backbone: how many checks hold, and each that does not."""
    for name in next(iter(outcomes.values())):
        found = {heading: row[name] for heading, row in outcomes.items()}
        n_holding = sum(outcome is None for outcome in found.values())
        line = f"{escape(label)} on {name}: [green]{n_holding} hold[/]"
        others = {heading: outcome for heading, outcome in found.items() if outcome is not None}
        if len(set(map(str, others.values()))) == 1:
            others = dict([next(iter(others.items()))])  # no place for it: one reason for all
        for heading, outcome in others.items():
            line += f"; {heading}: {_describe_outcome(outcome)}"
        SafeConsole().print(line)


def _describe_outcome(outcome: str | MissingRole | None) -> str:
    if outcome is None:
        return "[green]holds[/]"
    if isinstance(outcome, str):
        return f"[red]fails:[/] {escape(outcome)}"
    return f"skipped: {escape(str(outcome))}"
