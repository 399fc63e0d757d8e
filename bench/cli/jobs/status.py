"""The command `status`: what has become of every run, also while a command is at work."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from typer import Option

from bench.cli.terminal import add_columns
from bench.grid.status import read_states
from bench.specs.run import COMMANDS, RUNS
from bench.tracking.groups import read_group
from datasets.files import FileError
from reports.formats.terminal import SafeConsole, escape
from reports.records.run import Status
from reports.records.text import count

commands = typer.Typer()
STYLES = {Status.DONE: "green", "running": "cyan", Status.SKIPPED: "yellow"}
PLAIN = ("to do", "queued")


@commands.command()
def status(out: Annotated[Path, Option(help="What `run` wrote to.")] = Path("results")) -> None:
    """Show the state of every run below --out: queued, running, done, failed and why.

    Only files are read, so that it works beside a running command and with every executor.
    """
    states = read_states(out, list_asked(out))
    if not states:
        rule = "must hold the folders of runs, got none (--out names what `run` wrote to)"
        raise ValueError(f"status: {out / RUNS} {rule}")
    counts = Counter(each.state for each in states)
    parts = ", ".join(f"{n} {state}" for state, n in counts.items())
    title = f"{count(len(states), 'run')}: {parts}"
    table = add_columns(Table(title=title), ("run", "state", "what is known"))
    for each in states:
        style = "default" if each.state in PLAIN else STYLES.get(each.state, "red")
        table.add_row(escape(each.run_id), f"[{style}]{each.state}[/]", escape(each.detail))
    SafeConsole().print(table)


def list_asked(out: Path) -> list[str]:
    """Return the ids of the runs that commands have asked for."""
    run_ids: list[str] = []
    for file in sorted((out / COMMANDS).glob("*.json")):
        try:
            group = read_group(out, file.stem)
        except FileError:  # its runs have folders, or the next command writes it anew
            continue
        for ids in group.runs.values() if group is not None else ():
            run_ids += ids
    return run_ids
