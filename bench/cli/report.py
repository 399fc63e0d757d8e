"""`report`: from the tracking store to tables, on the terminal, in a file, or everything in a folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.markup import escape

import methods
from bench.cli.terminal import print_tables
from bench.grid.cells import split_list
from bench.tracking.store import Store, open_store
from bench.tracking.studies import load_studies
from reports.formats import FORMATS
from reports.formats.macros import format_macros
from reports.page.page import format_page
from reports.page.portfolio import PAGE, Contents, Portfolio, build_portfolio, name_files
from reports.records.files import partial_of, replace_durably, write_durably
from reports.records.run import RunResult
from reports.records.slices import SLICES_FILE, CaseSlices, read_slices
from reports.tables.build import ALL, TUNING, ReportRequest, build_tables
from reports.tables.table import Table
from reports.tables.tuning import tuning_tables
from reports.tables.view import View, read_published, select_methods


def report_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Print, or write to a file, the tables of all results in the tracking store.

    Raises: ValueError in one sentence if there is nothing to report, or what there is cannot be
    compared; nothing is written then.
    """
    check_out(out)
    narrow = request.format == "terminal" and not request.macros
    tables = collect_tables(request, per_dataset=narrow or request.per_dataset)
    if narrow:
        if out is None:
            print_tables(tables, console)
            return
        text = StringIO()
        print_tables(tables, Console(file=text, width=200))
        write_durably(out, text.getvalue())
        return
    written = (
        format_macros(tables) if request.macros else "\n".join(map(FORMATS[request.format], tables))
    )
    if out is None:
        console.out(written, highlight=False)
    else:
        write_durably(out, written)


def check_out(out: Path | None) -> None:
    """Raise ValueError if a file cannot be written at ``out``."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        what = (
            "which is a folder (--figures fills one)"
            if out.is_dir()
            else f"but there is no folder {out.parent}"
        )
        raise ValueError(f"report: --out must be a file in a folder that exists, got {out}, {what}")


def read_view(
    methods: str, columns: str, names: Sequence[str], groups: Sequence[str], reference: Path | None
) -> View:
    """Return the options of the presentation as they were typed.

    Raises: ValueError if one cannot be read.
    """
    return View(
        methods=tuple(split_list(methods, "--methods")) if methods else (),
        columns=tuple(split_list(columns, "--columns")) if columns else (),
        names=dict(_split_pair(item, "--name lora=LoRA") for item in names),
        groups={
            heading: tuple(split_list(members, "--group"))
            for heading, members in (
                _split_pair(item, "--group Prompts=vpt_shallow,vpt_deep") for item in groups
            )
        },
        published=read_published(reference) if reference is not None else (),
    )


def _split_pair(text: str, example: str) -> tuple[str, str]:
    # a label such as lora[rank=8] has signs of its own inside the brackets
    found = re.fullmatch(r"((?:[^=\[]|\[[^\]]*\])+)=(.+)", text)
    if found is None:
        raise ValueError(f"{example.split()[0]}: must look like {example}, got '{text}'")
    return found[1], found[2]


def load_results(store: Store, request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none, or does not know the data set.
    """
    results = store.load_results(request.dataset)
    if not results:
        known = store.list_datasets()
        if known:
            raise ValueError(
                f"report: --dataset must be among {', '.join(known)}, got '{request.dataset}'"
            )
        raise ValueError(
            "report: the tracking store holds no result yet (make some with `python -m bench run`)"
        )
    return select_methods(_in_registry_order(results), request.view)


def collect_tables(request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind: of results, of tuning studies, or of both.

    Raises: ValueError if the store has nothing for them.
    """
    store = open_store()
    studies = load_studies(store, request.dataset) if request.kind in (ALL, TUNING) else []
    if request.kind == TUNING:
        if not studies:
            raise ValueError(
                "report: the tracking store holds no tuning study (make some with `python -m bench tune`)"
            )
        return tuning_tables(studies)
    return [
        *build_tables(load_results(store, request), request, per_dataset=per_dataset),
        *tuning_tables(studies),
    ]


def _in_registry_order(results: Sequence[RunResult]) -> list[RunResult]:
    """Sort as `run` would lay the runs out, so that a report reads the same whatever ended first."""
    order = {name: number for number, name in enumerate(methods.names())}
    return sorted(
        results,
        key=lambda r: (
            r.dataset,
            r.backbone,
            order.get(r.method, len(order)),
            r.label,
            r.fold,
            r.seed,
        ),
    )


def page_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Print the HTML page, or write it to a file.

    Raises: ValueError in one sentence if there is nothing to report or what there is cannot be
    compared.
    """
    check_out(out)
    text = format_page(_build_portfolio(request, ("svg",)).page)
    if out is None:
        console.out(text, highlight=False)
    else:
        write_durably(out, text)


def folder_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Write tables, macros, pictures and the page into a folder, which is made; files of the same names are replaced.

    Raises: ValueError as `page_command`.
    """
    if out is None or out.is_file() or not out.resolve().parent.is_dir():
        raise ValueError(
            f"report: --figures must have --out FOLDER, in a folder that exists, got {out or 'none'}"
        )
    portfolio = _build_portfolio(request, ("pdf", "png", "svg"))
    files = name_files(portfolio)
    for name, content in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(target)
        partial.write_bytes(content)
        replace_durably(partial, target)
    for sentence in portfolio.page.absent:
        console.print(f"[dim]{escape(sentence)}[/]", soft_wrap=True)
    n_pictures = len(portfolio.pictures)
    console.print(
        f"{len(portfolio.page.tables)} tables, {n_pictures} pictures from {len(portfolio.page.results)} runs"
    )
    console.print(f"open:  [bold]{escape(str(out / PAGE))}[/]", soft_wrap=True)


def _build_portfolio(request: ReportRequest, formats: Sequence[str]) -> Portfolio:
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store()
        results = load_results(store, request)
        studies = load_studies(store, request.dataset)
        contents = Contents(results, studies, _Slices(store, Path(scratch)).read, methods.names())
        return build_portfolio(contents, request, formats)


@dataclass
class _Slices:
    """Reads the slices of runs from the store."""

    store: Store
    scratch: Path

    def read(self, run: RunResult, case: str) -> CaseSlices | None:
        """Return the slices of a run's case; None if the run kept none."""
        file = self.store.fetch_file(run.run_id, SLICES_FILE, self.scratch)
        return None if file is None else read_slices(file, case)
