"""`compare`: two runs of the tracking store, what differs between them and by how much they differ on each case."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.terminal import EXIT_DONE, EXIT_FAILED_RUNS
from bench.tracking.connection import default_uri, prepare_environment
from bench.tracking.local_store import describe_browsing, repair_moved
from bench.tracking.publishing import sync
from bench.tracking.store import open_store
from reports.analysis.run_pair import (
    RegionDifference,
    compare_regions,
    list_differences,
    pair_cases,
)
from reports.analysis.statistics import least_cases
from reports.analysis.tidy import MEAN
from reports.records.run import RunResult
from reports.tables.differences import interval_cell

NAMED = 5  # run ids that a refusal lists


def compare_command(first: str, second: str, console: Console) -> None:
    """Print in what two runs differ, and the paired difference of Dice, second minus first.

    Raises: ValueError if a run is not in the store, or the two have no case in common.
    """
    results = open_store().load_results()
    one, two = find_run(results, first), find_run(results, second)
    if one.run_id == two.run_id:
        raise ValueError(f"compare: the two runs must not be the same, got {one.run_id} twice")
    scores = pair_cases(one, two)
    for name, run in (("A", one), ("B", two)):
        synthetic = " (SYNTHETIC)" if run.synthetic else ""
        console.print(
            f"{name}: {escape(run.run_id)} · {escape(run.label)} on {run.dataset}{synthetic}",
            soft_wrap=True,
        )
    _print_fields(one, two, console)
    console.print(_regions_table(compare_regions(*scores)))
    lost = {row.case for row in one.cases} ^ {row.case for row in two.cases}
    if lost:
        console.print(
            f"not in both, so left out: {escape(', '.join(sorted(lost)))}", soft_wrap=True
        )
    console.print(_cases_table(*scores))


def find_run(results: Sequence[RunResult], wanted: str) -> RunResult:
    """Return the run with this id, or the only one whose id contains the text.

    Raises: ValueError if there is none, or more than one.
    """
    exact = [run for run in results if run.run_id == wanted]
    found = exact or [run for run in results if wanted in run.run_id]
    if len(found) == 1:
        return found[0]
    if not results:
        raise ValueError(
            "compare: the tracking store holds no result yet (make some with `python -m bench run`)"
        )
    names = [run.run_id for run in found or results]
    listed = ", ".join(names[:NAMED]) + (
        f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    )
    what = f"fits {len(found)} of them: {listed}" if found else f"fits none of {listed}"
    raise ValueError(
        f"compare: a run must be the id of one run, or a part of it, got '{wanted}', which {what}"
    )


def _print_fields(one: RunResult, two: RunResult, console: Console) -> None:
    differences = list(list_differences(one, two))
    if not any(item.group == "protocol" for item in differences):
        console.print(f"protocol: the same, {one.protocol_id}")
    for group, items in groupby(differences, key=lambda item: item.group):
        table = Table(
            title=f"what differs: {group}", title_justify="left", box=SIMPLE_HEAD, show_edge=False
        )
        for head in ("field", "A", "B"):
            table.add_column(head, overflow="fold")
        for item in items:
            table.add_row(escape(item.field), escape(item.first), escape(item.second))
        console.print(table)


def _regions_table(regions: Sequence[RegionDifference]) -> Table:
    table = Table(
        title="Dice (%), paired over cases: B - A",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
    )
    for head in ("region", "n", "A", "B", "B - A [95 % CI]", "p", "r", "d"):
        table.add_column(head, justify="left" if head == "region" else "right", no_wrap=True)
    for item in regions:
        p = f"at least {least_cases(1)} cases" if item.p is None else f"{item.p:.3g}"
        means = (f"{100 * item.first:.1f}", f"{100 * item.second:.1f}")
        effect = (
            f"{item.rank_biserial:+.2f}",
            f"{item.cohen_dz:+.2f}" if item.cohen_dz == item.cohen_dz else "-",
        )
        table.add_row(
            item.region, str(item.n), *means, interval_cell(item.interval).text, p, *effect
        )
    table.caption = "p: two-sided Wilcoxon signed-rank, not corrected for the number of regions; r: rank-biserial; d: Cohen's d_z"
    table.caption_justify = "left"
    return table


def _cases_table(one: pd.DataFrame, two: pd.DataFrame) -> Table:
    table = Table(
        title="case by case, Dice (%), largest loss first", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("case", overflow="fold")
    for head in ("A", "B", "B - A"):
        table.add_column(head, justify="right", no_wrap=True)
    pairs = pd.DataFrame({"one": one[MEAN], "two": two[MEAN], "gap": two[MEAN] - one[MEAN]})
    for case, *values, gap in pairs.sort_values("gap", kind="stable").itertuples(name=None):
        table.add_row(
            escape(str(case)), *(f"{100 * value:.1f}" for value in values), f"{100 * gap:+.1f}"
        )
    return table


def sync_command(out: Path, console: Console) -> int:
    """Send to MLflow what it lacks of the results in the run folders; return the exit code."""
    uri = default_uri()
    moved = repair_moved(uri)
    tally = sync(open_store(uri), out)
    if moved:
        console.print(
            f"the store was moved: the files of {', '.join(moved)} are looked for beside it",
            markup=False,
        )
    for run_id in tally.sent:
        console.print(f"sent {run_id}", markup=False, soft_wrap=True)
    for name in tally.sent_studies:
        console.print(f"sent study {name}", markup=False, soft_wrap=True)
    console.print(
        f"sent {len(tally.sent)} of {tally.n_results} results to {uri}",
        markup=False,
        soft_wrap=True,
    )
    for problem in tally.problems:
        console.print(f"[red]problem:[/] {escape(problem)}", soft_wrap=True)
    console.print(f"browse:  [bold]{escape(describe_browsing(uri))}[/]", soft_wrap=True)
    return EXIT_FAILED_RUNS if tally.problems else EXIT_DONE


def ui_command(port: int) -> int:
    """Serve the MLflow UI until Ctrl-C; return its exit code."""
    uri = default_uri()
    if uri.startswith("http"):
        raise ValueError(
            f"ui: MLFLOW_TRACKING_URI is a server, got {uri} (open that address in a browser)"
        )
    prepare_environment()  # the UI shall not send usage data either
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--port",
        str(port),
    ]
    return subprocess.run(command, check=False).returncode
