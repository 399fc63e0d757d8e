"""`report`: from the tracking store to tables, on the terminal, in a file, or everything in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

import methods
from bench import tracking
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
ALL, TUNING = "all", "tuning"


@dataclass(frozen=True)
class ReportRequest:
    """What a report is asked for."""

    format: str = "terminal"
    kind: str = "main"
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
    narrow = request.format == "terminal" and not request.macros
    tables = collect_tables(request, per_dataset=narrow or request.per_dataset)
    if narrow:
        with out.open("w") if out else nullcontext() as stream:
            print_tables(tables, Console(file=stream, width=200) if stream else console)
        return
    text = format_macros(tables) if request.macros else "\n".join(map(FORMATS[request.format], tables))
    if out is None:
        console.out(text, highlight=False)
    else:
        out.write_text(text)


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


def load_results(request: ReportRequest) -> list[RunResult]:
    """Return the results that the request is about, in the order in which `run` lays runs out.

    Raises: ValueError if the store has none.
    """
    results = tracking.open_store().load_results(request.dataset)
    if not results:
        what = f"no result of '{request.dataset}'" if request.dataset else "no result"
        raise ValueError(f"report: the tracking store holds {what} yet (make some with `python -m bench run`)")
    return select_methods(_in_registry_order(results), request.view)


def collect_tables(request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind: of results, of tuning studies, or of both.

    Raises: ValueError if the store has nothing for them.
    """
    studies = load_studies(tracking.open_store(), request.dataset) if request.kind in (ALL, TUNING) else []
    if request.kind == TUNING and not studies:
        raise ValueError("report: the tracking store holds no tuning study yet (make some with `python -m bench tune`)")
    of_results = [] if request.kind == TUNING else build_tables(load_results(request), request, per_dataset=per_dataset)
    return [*of_results, *tuning_tables(studies)]


def build_tables(results: Sequence[RunResult], request: ReportRequest, *, per_dataset: bool) -> list[Table]:
    """Return the tables of the request's kind; ``all`` means every kind that the results have something for.

    ``per_dataset`` gives each data set a main table of its own, as a terminal is narrow.
    """
    summaries = summarise(results, request)
    builders = {name: kind.build for name, kind in KINDS.items()}
    builders["comparison"] = partial(comparison_tables, reference=request.versus)
    if per_dataset:
        builders["main"] = lambda found: [main_table([summary]) for summary in found]
    if request.kind != ALL:
        kind = "comparison" if request.versus and request.kind == "main" else request.kind
        return [apply_view(table, request.view) for table in builders[kind](summaries)]
    tables: list[Table] = []
    for name, build in builders.items():
        try:
            tables += build(summaries)
        except ValueError:
            if name == "main":
                raise
            continue  # the results have nothing for this kind of table
    return [apply_view(table, request.view) for table in tables]


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
