"""The command `report`: tables of the tracking store, printed, in a file, or all in a folder."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import inf
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console

import datasets
import methods
from bench.cli.options import check_out, flag, option, takes
from bench.cli.terminal import NO_RESULT, print_tables
from bench.grid.cells import split_list
from bench.tracking.store import Store, open_store
from bench.tracking.studies import load_studies
from datasets.files import write_durably
from reports.analysis.claims.noninferiority import MARGIN_POINTS
from reports.formats import FORMATS
from reports.formats.macros import format_macros
from reports.formats.spreadsheet import format_case_scores
from reports.formats.terminal import SafeConsole, escape
from reports.page.page import format_page
from reports.page.portfolio import PAGE, Contents, Portfolio, build_portfolio, name_files
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, CaseSlices, read_slices
from reports.tables.build import ALL, MAIN, TUNING, ReportRequest, build_tables, summarise
from reports.tables.kinds.tuning import tuning_tables
from reports.tables.table import Table
from reports.tables.view import View, read_published, select_methods

commands = typer.Typer()
WIDE = 200  # columns of a table that goes into a file
Format = Literal["terminal", "markdown", "latex", "csv", "html"]
Kind = Literal[
    "main",
    "efficiency",
    "ablation",
    "pretraining",
    "kshot",
    "gap",
    "tuning",
    "comparison",
    "noninferiority",
    "variance",
    "all",
]


@dataclass(frozen=True)
class ReportOptions:
    """What to report and how to show it, as it was typed."""

    format: Format = option("terminal", "What to print.")
    kind: Kind | None = option(
        None, "Which tables; all: every kind there is something for. Default: main; all in HTML."
    )
    dataset: str | None = option(
        None, "Only this data set: a release (brats2019), or all of its releases (brats)."
    )
    out: Path | None = option(None, "Write to this file (with --figures: folder).")
    figures: bool = flag("Tables in all formats, macros, pictures and the page into --out FOLDER.")
    versus: str = option(
        "", "Test every method against this one; default of noninferiority: full fine-tuning."
    )
    margin: float | None = option(
        None, "Difference in points of Dice that does not matter, for noninferiority; default: 1."
    )
    intervals: bool = flag("Means with 95 % intervals instead of ±, in the main table.")
    case_scores: bool = flag("Mean Dice of every case as CSV: case, then a column a method.")
    spread: Literal["auto", "cases", "runs"] = option(
        "auto", "± over cases or over runs (folds and seeds); auto: runs where there are several."
    )
    penalty: float | None = option(
        None,
        "HD95 in mm of a miss that the policy leaves undefined; "
        "default: compare on the cases that all methods have.",
    )
    methods: str = option("", "Only these methods, in this order: a comma list.")
    columns: str = option("", "Only these columns: dice, dice/WT, hd95_mm, tuned_m, ...")
    name: list[str] | None = option(None, "Print a method so: lora=LoRA (repeatable).")
    group: list[str] | None = option(
        None, 'Rows under a heading: "Adapters=adaptformer,med_adapter" (repeatable).'
    )
    reference: Path | None = option(
        None, "CSV of published numbers: dataset,method,quantity,value."
    )
    per_dataset: bool = flag("A main table for each data set instead of all side by side.")
    macros: bool = flag("LaTeX commands for the numbers instead of tables.")
    intersection: bool = flag("Compare on the cases that all methods have.")
    allow_mixed: bool = flag("Let different protocols into one table.")

    def read(self) -> ReportRequest:
        """Return the report that the options ask for.

        Raises: ValueError for options that exclude each other or cannot be read.
        """
        narrowed = self.format != "terminal" or self.macros or self.kind not in (None, ALL)
        if self.figures and narrowed:
            rule = "--figures writes every kind in every format"
            raise ValueError(f"report: {rule}, got --format, --kind or --macros as well")
        if self.macros and self.format == "html":
            raise ValueError("report: --macros are LaTeX, got --format html as well")
        whole = self.figures or self.format == "html"
        self._check_tests(whole)
        return ReportRequest(
            format=self.format,
            kind=self.kind or (ALL if whole else MAIN),
            dataset=self.dataset,
            versus=self.versus,
            spread=self.spread,
            allow_mixed=self.allow_mixed,
            intersection=self.intersection,
            macros=self.macros,
            penalty_mm=self.penalty,
            margin_points=MARGIN_POINTS if self.margin is None else self.margin,
            intervals=self.intervals,
            per_dataset=self.per_dataset,
            view=self._read_view(),
        )

    def _check_tests(self, whole: bool) -> None:
        for name in ("margin", "penalty"):
            number = getattr(self, name)
            if number is not None and not 0 < number < inf:
                raise ValueError(f"report: --{name} must be a number above 0, got {number:g}")
        used = whole or self.kind in (ALL, "noninferiority")
        if self.margin is not None and not used:
            hint = "add --kind noninferiority"
            raise ValueError(f"report: --margin is for noninferiority, got another kind ({hint})")
        main = whole or self.kind in (ALL, MAIN) or (self.kind is None and not self.versus)
        if self.intervals and (not main or self.macros or self.case_scores):
            raise ValueError("report: --intervals is for the main table, got another output")
        if self.case_scores and (whole or self.macros or self.kind or self.format != "terminal"):
            rule = "--case-scores writes one CSV"
            raise ValueError(f"report: {rule}, got --figures, --format, --kind or --macros as well")

    def _read_view(self) -> View:
        names = [_split_pair(item, "--name lora=LoRA") for item in self.name or ()]
        groups = {}
        for item in self.group or ():
            heading, members = _split_pair(item, "--group Prompts=vpt_shallow,vpt_deep")
            groups[heading] = _split(members, "--group")
        return View(
            methods=_split(self.methods, "--methods"),
            columns=_split(self.columns, "--columns"),
            names=dict(names),
            groups=groups,
            published=() if self.reference is None else read_published(self.reference),
        )


def _split(text: str, name: str) -> tuple[str, ...]:
    return tuple(split_list(text, name)) if text else ()


def _split_pair(text: str, example: str) -> tuple[str, str]:
    # a label such as lora[rank=8] has signs of its own inside the brackets
    found = re.fullmatch(r"((?:[^=\[]|\[[^\]]*\])+)=(.+)", text)
    if found is None:
        raise ValueError(f"{example.split()[0]}: must look like {example}, got '{text}'")
    return found[1], found[2]


@commands.command()
@takes(ReportOptions)
def report(options: ReportOptions) -> None:
    """Print the tables of everything that MLflow holds.

    Formats are Markdown, CSV, HTML, and LaTeX that goes into a paper as it is.

    With [bold]--figures --out report/[/] everything at once: tables, numbers, pictures and a page
    to open in a browser.
    """
    request = options.read()
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
        text = _format(tables, request)
    if options.out is None:
        console.out(text, highlight=False)
    else:
        write_durably(options.out, text)


def _collect_case_scores(request: ReportRequest) -> str:
    comparisons = summarise(load_results(open_store(), request), request)
    if len(comparisons) > 1:
        settings = "; ".join(str(comparison.setting) for comparison in comparisons)
        rule = "--case-scores must be of one setting"
        raise ValueError(f"report: {rule}, got {settings} (--dataset chooses one)")
    if not comparisons or comparisons[0].scores.empty:
        rule = "report: --case-scores must have a method with all runs done and defined scores"
        raise ValueError(f"{rule}, got none")
    return format_case_scores(comparisons[0].scores)


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
    store = open_store()
    wanted = _list_wanted(request)
    studies = load_studies(store, *wanted) if request.kind in (ALL, TUNING) else []
    if request.kind != TUNING:
        tables = build_tables(load_results(store, request), request, per_dataset=per_dataset)
        return [*tables, *tuning_tables(studies)]
    if not studies:
        hint = "make some with `python -m bench tune`"
        raise ValueError(f"report: the tracking store holds no tuning study ({hint})")
    return tuning_tables(studies)


def load_results(store: Store, request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none, or does not know the data set.
    """
    results = store.load_results(*_list_wanted(request))
    if not results and (known := store.list_datasets()):
        rule = f"--dataset must be among {', '.join(known)}"
        raise ValueError(f"report: {rule}, got '{request.dataset}'")
    if not results:
        raise ValueError(f"report: {NO_RESULT}")
    order = {name: number for number, name in enumerate(methods.names())}

    def place(run: RunResult) -> tuple[object, ...]:
        number = order.get(run.method, len(order))
        return run.dataset, run.backbone, number, run.label, run.fold, run.seed

    return select_methods(sorted(results, key=place), request.view)


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
    page = portfolio.page
    for sentence in page.absent:
        console.print(f"[dim]{escape(sentence)}[/]", soft_wrap=True)
    counts = f"{len(page.tables)} tables, {len(portfolio.pictures)} pictures"
    console.print(f"{counts} from {len(page.results)} runs")
    console.print(f"open:  [bold]{escape(str(out / PAGE))}[/]", soft_wrap=True)


def _build_portfolio(request: ReportRequest, formats: Sequence[str]) -> Portfolio:
    store = open_store()
    with tempfile.TemporaryDirectory() as scratch:

        def read_case(run: RunResult, case: str) -> CaseSlices | None:
            file = store.fetch_file(run.run_id, SLICES_FILE, Path(scratch))
            return None if file is None else read_slices(file, case)

        results = load_results(store, request)
        studies = load_studies(store, *_list_wanted(request))
        contents = Contents(results, studies, read_case, methods.names())
        return build_portfolio(contents, request, formats)
