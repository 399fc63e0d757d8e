"""The other tables: efficiency, ablation, pre-training, k-shot, tuning gap, comparison with a reference.

Each raises ValueError, in one sentence, if the results at hand hold nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from reports.analysis.comparison import MethodComparison, compare_methods
from reports.records.run import RunResult
from reports.tables.ablation import ablation_tables
from reports.tables.differences import comparison_tables, gap_tables
from reports.tables.efficiency import efficiency_tables
from reports.tables.main import main_table, main_tables
from reports.tables.sweep import sweep_tables
from reports.tables.table import Table
from reports.tables.view import View, apply_view


@dataclass(frozen=True)
class Kind:
    """A kind of table: what it shows, and how it is made."""

    summary: str
    build: Callable[[Sequence[MethodComparison]], list[Table]]


KINDS = {
    "main": Kind("Dice and HD95 of methods", main_tables),
    "efficiency": Kind("parameters, FLOPs, memory, time", efficiency_tables),
    "ablation": Kind("several settings of a method", ablation_tables),
    "pretraining": Kind(
        "several weights", partial(sweep_tables, "pretraining", "weights", "weights")
    ),
    "kshot": Kind(
        "several numbers of training cases",
        partial(sweep_tables, "kshot", "shots", "training cases"),
    ),
    "gap": Kind("default against tuned settings", gap_tables),
    "comparison": Kind("paired differences to a reference", comparison_tables),
}

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


def build_tables(
    results: Sequence[RunResult], request: ReportRequest, *, per_dataset: bool
) -> list[Table]:
    """Return the tables of the request's kind; ``all`` means every kind that the results have something for.

    ``per_dataset`` gives each data set a main table of its own, as a terminal is narrow.
    """
    return build_tables_of(summarise(results, request), request, per_dataset=per_dataset)[0]


def build_tables_of(
    summaries: Sequence[MethodComparison], request: ReportRequest, *, per_dataset: bool
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


def summarise(results: Sequence[RunResult], request: ReportRequest) -> list[MethodComparison]:
    """Return one row per method for each setting."""
    return compare_methods(
        results,
        allow_mixed=request.allow_mixed,
        intersection=request.intersection,
        spread=request.spread,
    )
