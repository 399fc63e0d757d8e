"""The command `compare`: two runs, field by field and case by case."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated

import pandas as pd
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from typer import Argument

from bench.cli.terminal import NO_RESULT, add_columns
from bench.tracking.reading import open_to_read
from datasets.base import list_first
from reports.analysis.run_pair import compare_regions, count_undefined, list_differences, pair_cases
from reports.analysis.statistics import LEAST_CASES, PairedTest
from reports.analysis.tidy import MEAN
from reports.formats.terminal import SafeConsole, escape
from reports.records.run import RunResult
from reports.tables.kinds.differences import interval_cell

commands = typer.Typer()


@commands.command()
def compare(
    run_a: Annotated[str, Argument(help="Id of a run, or a part of it that no other run has.")],
    run_b: Annotated[str, Argument(help="The other run.")],
) -> None:
    """Print in what two runs differ, and their difference of Dice by case.

    Compared are spec, protocol and versions; the test of each region is paired over cases.
    """
    console = SafeConsole()
    results = open_to_read(f"compare: {NO_RESULT}").load_results()
    first = match_run(results, run_a)
    second = match_run(results, run_b)
    if first.run_id == second.run_id:
        raise ValueError(f"compare: the two runs must not be the same, got {first.run_id} twice")
    first_scores, second_scores = pair_cases(first, second)
    for name, run in (("A", first), ("B", second)):
        synthetic = " (SYNTHETIC)" if run.synthetic else ""
        what = f"{escape(run.label)} on {escape(run.dataset_title)}{synthetic}"
        console.print(f"{name}: {escape(run.run_id)} · {what}", soft_wrap=True)
    _print_fields(first, second, console)
    console.print(_regions_table(compare_regions(first_scores, second_scores)))
    for region, (of_a, of_b) in count_undefined(first_scores, second_scores).items():
        counts = f"{of_a} cases of A, {of_b} of B"
        line = f"{region}: no score in {counts}; both are compared without these cases"
        console.print(escape(line), soft_wrap=True)
    lost = {row.case for row in first.cases} ^ {row.case for row in second.cases}
    if lost:
        names = escape(", ".join(sorted(lost)))
        console.print(f"not in both, so left out: {names}", soft_wrap=True)
    console.print(_cases_table(first_scores, second_scores))


def match_run(results: Sequence[RunResult], text: str) -> RunResult:
    """Return the run with this id, or the only one whose id contains the text.

    Raises: ValueError if there is none, or more than one.
    """
    exact = [run for run in results if run.run_id == text]
    found = exact or [run for run in results if text in run.run_id]
    if len(found) == 1:
        return found[0]
    if not results:
        raise ValueError(f"compare: {NO_RESULT}")
    listed = list_first([run.run_id for run in found or results])
    what = f"fits {len(found)} of them: {listed}" if found else f"fits none of {listed}"
    rule = "a run must be the id of one run, or a part of it"
    raise ValueError(f"compare: {rule}, got '{text}', which {what}")


def _print_fields(first: RunResult, second: RunResult, console: Console) -> None:
    differences = list(list_differences(first, second))
    if not any(item.group == "protocol" for item in differences):
        console.print(f"protocol: the same, {escape(first.protocol_id)}")
    for group, items in groupby(differences, key=lambda item: item.group):
        table = add_columns(_begin_table(f"what differs: {group}"), ("field", "A", "B"))
        for item in items:
            table.add_row(escape(item.field), escape(item.first), escape(item.second))
        console.print(table)


def _regions_table(tests: Mapping[str, PairedTest]) -> Table:
    table = _begin_table("Dice (%), paired over cases: B - A")
    table.add_column("region", no_wrap=True)
    add_columns(table, numbers=("n", "A", "B", "B - A [95 % CI]", "p", "Wilcoxon p", "r", "d"))
    for region, test in tests.items():
        table.add_row(
            escape(region),
            str(test.n),
            _percent(test.first, ""),
            _percent(test.second, ""),
            interval_cell(test.difference).text,
            _print_p(test.p),
            _print_p(test.p_wilcoxon),
            f"{test.rank_biserial:+.2f}",
            "-" if math.isnan(test.cohen_dz) else f"{test.cohen_dz:+.2f}",
        )
    table.caption = (
        "p: two-sided permutation test of the mean by sign flips; Wilcoxon p: two-sided "
        "signed-rank test; neither corrected for the number of regions; one training each: "
        "differences between trainings are not in these tests; r: rank-biserial; d: Cohen's d_z"
    )
    table.caption_justify = "left"
    return table


def _print_p(p: float | None) -> str:
    return f"at least {LEAST_CASES} cases" if p is None else f"{p:.3g}"


def _cases_table(first: pd.DataFrame, second: pd.DataFrame) -> Table:
    table = _begin_table("case by case, Dice (%), largest loss first")
    table.show_edge = True
    add_columns(table, ("case",), ("A", "B", "B - A"))
    gaps = second[MEAN] - first[MEAN]
    for case in gaps.sort_values(kind="stable").index:
        values = [_percent(scores[MEAN][case], "") for scores in (first, second)]
        table.add_row(escape(str(case)), *values, _percent(gaps[case], "+"))
    return table


def _percent(fraction: float, sign: str) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:{sign}.1f}"


def _begin_table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
