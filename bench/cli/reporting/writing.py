"""What `report` makes: tables of the store, printed, in a file, or all in a folder."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from bench.cli.options import check_out
from bench.cli.reporting.loading import group_rows, list_wanted, load_results
from bench.cli.reporting.options import ReportOptions
from bench.cli.terminal import NO_RESULT, print_remarks, print_tables
from bench.tracking.reading import open_to_read
from bench.tracking.studies import load_studies
from datasets.files import write_durably
from datasets.processes import PROGRAM
from reports.formats import FORMATS
from reports.formats.latex import NOTES, format_all, read_printing
from reports.formats.macros import format_macros
from reports.formats.spreadsheet import format_case_scores
from reports.formats.terminal import SafeConsole
from reports.tables.build import ALL, TUNING, ReportRequest, build_tables, summarise
from reports.tables.kinds.tuning import tuning_tables
from reports.tables.table import Table

NO_STUDY = f"the tracking store holds no tuning study (make some with `{PROGRAM} tune`)"
WIDE = 200  # columns of a table that goes into a file


def write_report(request: ReportRequest, options: ReportOptions) -> None:
    """Print a report, or write it into a file or folder.

    Raises: ValueError if there is nothing to show, or the place cannot be written to.
    """
    console = SafeConsole()
    if options.figures or request.format == "html":
        from bench.cli.reporting.folder import format_html, write_folder  # imports Matplotlib
    if options.figures:
        write_folder(request, options.out, console)
        return
    check_out(options.out)
    if options.case_scores:
        text = _collect_case_scores(request)
    elif request.format == "html":
        text = format_html(request)
    else:
        narrow = request.format == "terminal" and not request.macros
        tables = collect_tables(request, per_dataset=narrow or request.per_dataset)
        if narrow and options.out is None:
            print_tables(tables, console)
            return
        if request.format == "latex" and not request.macros:
            write_latex(tables, request, options.out, console)
            return
        text = _format(tables, request)
    if options.out is None:
        console.out(text, highlight=False)
    else:
        write_durably(options.out, text)


def _collect_case_scores(request: ReportRequest) -> str:
    comparisons = summarise(load_results(open_to_read(f"report: {NO_RESULT}"), request), request)
    if len(comparisons) > 1:
        settings = "; ".join(str(comparison.setting) for comparison in comparisons)
        rule = "--case-scores must be of one setting"
        raise ValueError(f"report: {rule}, got {settings} (--dataset chooses one)")
    if not comparisons or comparisons[0].scores.empty:
        rule = "report: --case-scores must have a method with all runs done and defined scores"
        raise ValueError(f"{rule}, got none")
    return format_case_scores(comparisons[0].scores)


def write_latex(
    tables: Sequence[Table], request: ReportRequest, out: Path | None, console: Console
) -> None:
    """Write the tables and, beside them, a file of notes; without a file print both.

    How a layout differs from the table that was asked for is printed on standard error.

    Raises: ValueError if there is a caption or a label for several tables.
    """
    if (request.caption or request.label) and len(tables) != 1:
        slugs = ", ".join(table.slug for table in tables)
        rule = "report: --caption and --label are of one table"
        raise ValueError(f"{rule}, got {slugs} (--dataset or --kind chooses)")
    text, notes, remarks = format_all(tables, read_printing(request))
    if out is None:
        console.out(f"{text}\n{notes}", highlight=False)
    else:
        write_durably(out, text)
        write_durably(out.with_name(f"{out.stem}-{NOTES}"), notes)
    print_remarks(remarks)


def _format(tables: Sequence[Table], request: ReportRequest) -> str:
    if request.macros:
        return format_macros(tables)
    if request.format == "terminal":
        text = StringIO()
        print_tables(tables, SafeConsole(file=text, width=WIDE))
        return text.getvalue()
    return "\n".join(map(FORMATS[request.format], tables))


def collect_tables(request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind: of results, of tuning studies, or of both.

    Raises: ValueError if the store has nothing for them, or results that cannot be compared.
    """
    store = open_to_read(f"report: {NO_STUDY if request.kind == TUNING else NO_RESULT}")
    wanted = list_wanted(request)
    studies = load_studies(store, *wanted) if request.kind in (ALL, TUNING) else []
    if request.kind != TUNING:
        results = load_results(store, request)
        request = group_rows(request, results)
        tables = build_tables(results, request, per_dataset=per_dataset)
        return [*tables, *tuning_tables(studies, request.names)]
    if not studies:
        raise ValueError(f"report: {NO_STUDY}")
    return tuning_tables(studies, request.names)
