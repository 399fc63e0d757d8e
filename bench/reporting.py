"""`report`: from the tracking store to tables, on the terminal, in a file, or everything in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path

from rich.console import Console

import methods
from bench import tracking
from bench.durable import write_durably
from bench.grid import split_list
from bench.results import RunResult
from bench.study_log import load_studies
from reports.comparison import comparison_tables
from reports.kinds import KINDS
from reports.latex import format_latex
from reports.macros import format_macros
from reports.main_table import main_table
from reports.markdown import format_markdown
from reports.published import read_published
from reports.spreadsheet import format_csv
from reports.summary import MethodTable, method_tables
from reports.table import Table
from reports.terminal import build_terminal_table
from reports.tuning import tuning_tables
from reports.view import View, apply_view, select_methods

FORMATS: dict[str, Callable[[Table], str]] = {"latex": format_latex, "markdown": format_markdown, "csv": format_csv}
MAIN, ALL, TUNING = "main", "all", "tuning"


@dataclass(frozen=True)
class ReportRequest:
    """What a report is asked for."""

    format: str = "terminal"
    kind: str = MAIN
    dataset: str | None = None
    versus: str = ""
    spread: str = "auto"
    allow_mixed: bool = False
    intersection: bool = False
    macros: bool = False
    per_dataset: bool = False  # the terminal is too narrow for anything else
    view: View = field(default_factory=View)


def report_command(request: ReportRequest, out: Path | None, console: Console) -> None:
    """Print, or write to a file, the tables of all results in the tracking store.

    Raises: ValueError in one sentence if there is nothing to report, or what there is cannot be compared; nothing is
    written then.
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
    written = format_macros(tables) if request.macros else "\n".join(map(FORMATS[request.format], tables))
    if out is None:
        console.out(written, highlight=False)
    else:
        write_durably(out, written)


def check_out(out: Path | None) -> None:
    """Raise ValueError if a file cannot be written at ``out``."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        what = "which is a folder (--figures fills one)" if out.is_dir() else f"but there is no folder {out.parent}"
        raise ValueError(f"report: --out must be a file in a folder that exists, got {out}, {what}")


def read_view(methods: str, columns: str, names: Sequence[str], groups: Sequence[str], reference: Path | None) -> View:
    """Return the options of the presentation as they were typed.

    Raises: ValueError if one cannot be read.
    """
    return View(
        methods=tuple(split_list(methods, "--methods")) if methods else (),
        columns=tuple(split_list(columns, "--columns")) if columns else (),
        names=dict(_split_pair(item, "--name lora=LoRA") for item in names),
        groups={
            heading: tuple(split_list(members, "--group"))
            for heading, members in (_split_pair(item, "--group Prompts=vpt_shallow,vpt_deep") for item in groups)
        },
        published=read_published(reference) if reference is not None else (),
    )


def _split_pair(text: str, example: str) -> tuple[str, str]:
    # a label such as lora[rank=8] has signs of its own inside the brackets
    found = re.fullmatch(r"((?:[^=\[]|\[[^\]]*\])+)=(.+)", text)
    if found is None:
        raise ValueError(f"{example.split()[0]}: must look like {example}, got '{text}'")
    return found[1], found[2]


def load_results(store: tracking.Store, request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none, or does not know the data set.
    """
    results = store.load_results(request.dataset)
    if not results:
        known = store.list_datasets()
        if known:
            raise ValueError(f"report: --dataset must be among {', '.join(known)}, got '{request.dataset}'")
        raise ValueError("report: the tracking store holds no result yet (make some with `python -m bench run`)")
    return select_methods(_in_registry_order(results), request.view)


def collect_tables(request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind: of results, of tuning studies, or of both.

    Raises: ValueError if the store has nothing for them.
    """
    store = tracking.open_store()
    studies = load_studies(store, request.dataset) if request.kind in (ALL, TUNING) else []
    if request.kind == TUNING:
        if not studies:
            raise ValueError("report: the tracking store holds no tuning study (make some with `python -m bench tune`)")
        return tuning_tables(studies)
    return [*build_tables(load_results(store, request), request, per_dataset=per_dataset), *tuning_tables(studies)]


def build_tables(results: Sequence[RunResult], request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind; ``all`` means every kind that the results have something for.

    ``per_dataset`` gives each data set a main table of its own, as a terminal is narrow.
    """
    return build_tables_of(summarise(results, request), request, per_dataset=per_dataset)[0]


def build_tables_of(
    summaries: Sequence[MethodTable], request: ReportRequest, *, per_dataset: bool
) -> tuple[list[Table], list[str]]:
    """Return as `build_tables`, and a sentence for each kind that ``all`` found nothing for."""
    builders = {name: kind.build for name, kind in KINDS.items()}
    builders["comparison"] = partial(comparison_tables, reference=request.versus)
    if per_dataset:
        builders[MAIN] = lambda found: [main_table([summary]) for summary in found]
    if request.kind != ALL:
        kind = "comparison" if request.versus and request.kind == MAIN else request.kind
        return [apply_view(table, request.view) for table in builders[kind](summaries)], []
    tables: list[Table] = []
    absent: list[str] = []
    for name, build in builders.items():
        # one setting that cannot be compared shall not take the others along
        for part in [[summary] for summary in summaries] if name == "comparison" else [summaries]:
            try:
                tables += build(part)
            except ValueError as error:
                if name == MAIN:
                    raise
                absent.append(str(error))
    return [apply_view(table, request.view) for table in tables], absent


def summarise(results: Sequence[RunResult], request: ReportRequest) -> list[MethodTable]:
    """Return one row per method for each setting."""
    return method_tables(
        results, allow_mixed=request.allow_mixed, intersection=request.intersection, spread=request.spread
    )


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print tables one below the other."""
    for table in tables:
        console.print()
        console.print(build_terminal_table(table))


def _in_registry_order(results: Sequence[RunResult]) -> list[RunResult]:
    """Sort as `run` would lay the runs out, so that a report reads the same whatever ended first."""
    order = {name: number for number, name in enumerate(methods.names())}
    return sorted(
        results, key=lambda r: (r.dataset, r.backbone, order.get(r.method, len(order)), r.label, r.fold, r.seed)
    )
