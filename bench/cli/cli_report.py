"""The commands that read the tracking store: report, compare, ui."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


class Format(StrEnum):
    """How ``report`` prints."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"


class Kind(StrEnum):
    """Which tables ``report`` makes."""

    MAIN = "main"
    EFFICIENCY = "efficiency"
    ABLATION = "ablation"
    PRETRAINING = "pretraining"
    KSHOT = "kshot"
    GAP = "gap"
    TUNING = "tuning"
    COMPARISON = "comparison"
    ALL = "all"


class Spread(StrEnum):
    """What the ± of ``report`` is over."""

    AUTO = "auto"
    CASES = "cases"
    RUNS = "runs"


def report(
    format: Annotated[Format, typer.Option(help="What to print.")] = Format.TERMINAL,
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="Which tables; all: every kind there is something for. Default: main; all in HTML."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file (with --figures: folder).")
    ] = None,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures",
            help="Tables in all formats, macros, pictures and the page into --out FOLDER.",
        ),
    ] = False,
    versus: Annotated[str, typer.Option(help="Test every method against this one.")] = "",
    spread: Annotated[
        Spread,
        typer.Option(
            help="± over cases or over runs (folds and seeds); auto: runs where there are several."
        ),
    ] = Spread.AUTO,
    methods: Annotated[
        str, typer.Option(help="Only these methods, in this order: a comma list.")
    ] = "",
    columns: Annotated[
        str, typer.Option(help="Only these columns: dice, dice/WT, hd95_mm, tuned_m, ...")
    ] = "",
    name: Annotated[
        list[str] | None, typer.Option(help="Print a method so: lora=LoRA (repeatable).")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help='Rows under a heading: "Adapters=adaptformer,med_adapter" (repeatable).'),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="CSV of published numbers to put beside ours: dataset,method,quantity,value."
        ),
    ] = None,
    per_dataset: Annotated[
        bool,
        typer.Option(
            "--per-dataset", help="A main table for each data set instead of all side by side."
        ),
    ] = False,
    macros: Annotated[
        bool, typer.Option("--macros", help="LaTeX commands for the numbers instead of tables.")
    ] = False,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Compare on the cases that all methods have.")
    ] = False,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Let different protocols into one table.")
    ] = False,
) -> None:
    """Print the tables of everything that MLflow holds: Markdown, CSV, LaTeX that goes into a paper as it is, HTML.

    With [bold]--figures --out report/[/] everything at once: tables, numbers, pictures and a page
    to open in a browser.
    """
    from bench.cli.report import read_view, report_command
    from reports.tables.build import ReportRequest

    whole = figures or format is Format.HTML
    if figures and (format is not Format.TERMINAL or macros or kind not in (None, Kind.ALL)):
        raise ValueError(
            "report: --figures writes every kind in every format, got --format, --kind or --macros as well"
        )
    if macros and format is Format.HTML:
        raise ValueError("report: --macros are LaTeX, got --format html as well")
    request = ReportRequest(
        format=format.value,
        kind=(kind or (Kind.ALL if whole else Kind.MAIN)).value,
        dataset=dataset,
        versus=versus,
        spread=spread.value,
        allow_mixed=allow_mixed,
        intersection=intersection,
        macros=macros,
        per_dataset=per_dataset,
        view=read_view(methods, columns, name or [], group or [], reference),
    )
    if whole:
        from bench.cli.report import folder_command, page_command

        (folder_command if figures else page_command)(request, out, Console())
    else:
        report_command(request, out, Console())


def compare(
    run_a: Annotated[
        str, typer.Argument(help="Id of a run, or a part of it that no other run has.")
    ],
    run_b: Annotated[str, typer.Argument(help="The other run.")],
) -> None:
    """Print in what two runs differ (spec, protocol, versions), and the paired difference of Dice on each case."""
    from bench.cli.store import compare_command

    compare_command(run_a, run_b, Console())


def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Open the MLflow UI on the store that `run` writes to."""
    from bench.cli.store import ui_command

    raise typer.Exit(ui_command(port))
