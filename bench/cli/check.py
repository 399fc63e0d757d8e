"""`bench check`: the battery of promises on one method, a user's own too, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import methods
from bench.grid.cells import parse_methods, parse_names
from bench.models import registry
from bench.models.contract import CHECKS, Check, Subject
from bench.specs.protocol import SpecError
from methods.base import Method, MissingRole

EXIT_PASSED, EXIT_FAILED = 0, 1


def check_command(text: str, backbones: str, console: Console) -> int:
    """Print what holds of a method on each backbone; return 1 if anything does not, or if none can host it.

    Raises: ValueError with one sentence if the method, a setting or a backbone does not exist.
    """
    specs = parse_methods(text)
    if len(specs) != 1:
        raise SpecError(f"check: must be one method, got '{text}'")
    method = specs[0].build()
    names = [
        registry.check_name(name) for name in parse_names(backbones, registry.names(), "--backbone")
    ]
    table = Table(
        title=f"{escape(methods.label(method))}: what it declares and what it does",
        title_justify="left",
    )
    for heading in ("check", *names):
        table.add_column(heading, overflow="fold")
    outcomes = {
        name: [_carry_out(check, method, name) for check in CHECKS.values()] for name in names
    }
    for number, title in enumerate(CHECKS):
        row = [outcomes[name][number] for name in names]
        table.add_row(title, *(_show(outcome) for outcome in row))
    console.print(table)
    every = [outcome for column in outcomes.values() for outcome in column]
    return (
        EXIT_PASSED
        if any(each is None for each in every) and not any(map(_is_failure, every))
        else EXIT_FAILED
    )


def _carry_out(check: Check, method: Method, backbone: str) -> str | MissingRole | None:
    try:
        return check(Subject(method, backbone))
    except MissingRole as missing:
        return missing
    except ValueError as error:  # of the method itself, or of what was made of the backbone
        return str(error)


def _is_failure(outcome: str | MissingRole | None) -> bool:
    return isinstance(outcome, str)


def _show(outcome: str | MissingRole | None) -> str:
    if outcome is None:
        return "[green]holds[/]"
    return (
        f"[red]fails:[/] {escape(outcome)}"
        if isinstance(outcome, str)
        else f"skipped: {escape(str(outcome))}"
    )
