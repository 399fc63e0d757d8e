"""The page, and the folder of everything: what needs pictures."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import methods
from bench.cli.reporting.loading import group_rows, list_wanted, load_results
from bench.cli.terminal import NO_RESULT, print_remarks
from bench.tracking.reading import open_to_read
from bench.tracking.studies import load_studies
from datasets.files import write_durably
from reports.formats.terminal import escape
from reports.page.page import format_page
from reports.page.portfolio import PAGE, Contents, Portfolio, build_portfolio, name_files
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, CaseSlices, read_slices
from reports.tables.build import ReportRequest


def format_html(request: ReportRequest) -> str:
    """Return the page with every table and picture.

    Raises: ValueError if the store has no results, or results that cannot be compared.
    """
    return format_page(_build_portfolio(request, ("svg",)).page)


def write_folder(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Write tables, macros, pictures and the page into a folder; files of the same names go.

    Raises: as `format_html`; nothing is written then.
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
    store = open_to_read(f"report: {NO_RESULT}")
    with tempfile.TemporaryDirectory() as scratch:

        def read_case(run: RunResult, case: str) -> CaseSlices | None:
            file = store.fetch_file(run.run_id, SLICES_FILE, Path(scratch))
            return None if file is None else read_slices(file, case)

        results = load_results(store, request)
        request = group_rows(request, results)
        studies = load_studies(store, *list_wanted(request))
        contents = Contents(results, studies, read_case, methods.families())
        return build_portfolio(contents, request, formats)
