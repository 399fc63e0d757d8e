"""What `report` makes: tables of the store, printed, in a file, or all in a folder."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

import datasets
import methods
from bench.cli.options import check_out
from bench.cli.reporting.naming import check_keys
from bench.cli.reporting.options import ReportOptions
from bench.cli.terminal import NO_RESULT, print_tables
from bench.tracking.reading import open_existing
from bench.tracking.store import Store
from bench.tracking.studies import load_studies
from datasets.files import write_durably
from datasets.processes import PROGRAM
from reports.formats import FORMATS
from reports.formats.latex import NOTES, format_all, read_printing
from reports.formats.macros import format_macros
from reports.formats.spreadsheet import format_case_scores
from reports.formats.terminal import SafeConsole, escape
from reports.page.page import format_page
from reports.page.portfolio import PAGE, Contents, Portfolio, build_portfolio, name_files
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, CaseSlices, read_slices
from reports.tables.build import ALL, TUNING, ReportRequest, build_tables, summarise
from reports.tables.families import group_by_family
from reports.tables.kinds.tuning import tuning_tables
from reports.tables.table import Table
from reports.tables.view import select_methods

NO_STUDY = f"the tracking store holds no tuning study (make some with `{PROGRAM} tune`)"
WIDE = 200  # columns of a table that goes into a file


def write_report(request: ReportRequest, options: ReportOptions) -> None:
    """Print a report, or write it into a file or folder.

    Raises: ValueError if there is nothing to show, or the place cannot be written to.
    """
    console = SafeConsole()
    if options.figures:
        write_folder(request, options.out, console)
        return
    check_out(options.out)
    if options.case_scores:
        text = _collect_case_scores(request)
    elif request.format == "html":
        text = format_page(_build_portfolio(request, ("svg",)).page)
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
    comparisons = summarise(load_results(open_existing(f"report: {NO_RESULT}"), request), request)
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


def print_remarks(remarks: Sequence[str]) -> None:
    """Print on standard error how layouts differ from the tables that were asked for."""
    errors = SafeConsole(stderr=True)
    for remark in remarks:
        errors.print(f"[yellow]{escape(remark)}[/]", highlight=False, soft_wrap=True)


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
    store = open_existing(f"report: {NO_STUDY if request.kind == TUNING else NO_RESULT}")
    wanted = _list_wanted(request)
    studies = load_studies(store, *wanted) if request.kind in (ALL, TUNING) else []
    if request.kind != TUNING:
        results = load_results(store, request)
        request = group_rows(request, results)
        tables = build_tables(results, request, per_dataset=per_dataset)
        return [*tables, *tuning_tables(studies, request.names)]
    if not studies:
        raise ValueError(f"report: {NO_STUDY}")
    return tuning_tables(studies, request.names)


def load_results(store: Store, request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none, or does not know the data set.
    """
    results = [_add_family(run) for run in store.load_results(*_list_wanted(request))]
    if not results and (known := store.list_datasets()):
        rule = f"--dataset must be among {', '.join(known)}"
        raise ValueError(f"report: {rule}, got '{request.dataset}'")
    if not results:
        raise ValueError(f"report: {NO_RESULT}")
    check_keys(request.names, results)
    order = {name: number for number, name in enumerate(methods.names())}

    def place(run: RunResult) -> tuple[object, ...]:
        number = order.get(run.method, len(order))
        return run.dataset, run.backbone, number, run.label, run.fold, run.seed

    return select_methods(sorted(results, key=place), request.view)


def _add_family(run: RunResult) -> RunResult:
    """Return a result with its family; records of the time before there were any lack it."""
    return run if run.family else replace(run, family=methods.family_of(run.method))


def group_rows(request: ReportRequest, results: Sequence[RunResult]) -> ReportRequest:
    """Return the request with the groups of the families, if it asks for them."""
    if not request.view.by_family:
        return request
    return replace(request, view=group_by_family(request.view, results, request.names))


def _list_wanted(request: ReportRequest) -> list[str]:
    """Return the data sets that ``--dataset`` means; empty: all."""
    return [] if request.dataset is None else datasets.members_of(request.dataset)


def write_folder(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Write tables, macros, pictures and the page into a folder; files of the same names go.

    Raises: as `collect_tables`; nothing is written then.
    """
    is_taken = out is not None and out.exists() and not out.is_dir()
    if out is None or is_taken or not out.resolve().parent.is_dir():
        rule = "--figures must have --out FOLDER, in a folder that exists"
        raise ValueError(f"report: {rule}, got {out or 'none'}")
    portfolio = _build_portfolio(request, ("pdf", "png", "svg"))
    for name, content in name_files(portfolio).items():
        write_durably(out / name, content)
    print_remarks(portfolio.remarks)
    page = portfolio.page
    for sentence in page.absent:
        console.print(f"[dim]{escape(sentence)}[/]", soft_wrap=True)
    counts = f"{len(page.tables)} tables, {len(portfolio.pictures)} pictures"
    console.print(f"{counts} from {len(page.results)} runs")
    console.print(f"open:  [bold]{escape(str(out / PAGE))}[/]", soft_wrap=True)


def _build_portfolio(request: ReportRequest, formats: Sequence[str]) -> Portfolio:
    store = open_existing(f"report: {NO_RESULT}")
    with tempfile.TemporaryDirectory() as scratch:

        def read_case(run: RunResult, case: str) -> CaseSlices | None:
            file = store.fetch_file(run.run_id, SLICES_FILE, Path(scratch))
            return None if file is None else read_slices(file, case)

        results = load_results(store, request)
        request = group_rows(request, results)
        studies = load_studies(store, *_list_wanted(request))
        contents = Contents(results, studies, read_case, methods.names())
        return build_portfolio(contents, request, formats)
