"""The kinds of tables, and the tables that a request asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from reports.analysis.claims.noninferiority import MARGIN_POINTS
from reports.analysis.comparison import MethodComparison, compare_methods
from reports.names import BUILT_IN_NAMES, Names
from reports.records.run import RunResult
from reports.tables.kinds.ablation import ablation_tables
from reports.tables.kinds.differences import comparison_tables
from reports.tables.kinds.efficiency import efficiency_tables
from reports.tables.kinds.gap import gap_tables
from reports.tables.kinds.main import main_tables
from reports.tables.kinds.noninferiority import noninferiority_tables
from reports.tables.kinds.paper import paper_tables
from reports.tables.kinds.sweep import sweep_tables
from reports.tables.kinds.utilisation import utilisation_tables
from reports.tables.kinds.variance import variance_tables
from reports.tables.table import Table
from reports.tables.view import View, apply_view

# Each raises ValueError, in one sentence, if it finds nothing to show.
KINDS: dict[str, Callable[..., list[Table]]] = {
    "main": main_tables,  # Dice and HD95 of methods
    "paper": paper_tables,  # grouped by backbone and pre-training, HD95 by region
    "efficiency": efficiency_tables,  # parameters, FLOPs, memory, time
    "utilisation": utilisation_tables,  # shares of a run's time
    "ablation": ablation_tables,  # several settings of a method
    "pretraining": partial(sweep_tables, "pretraining", "weights", "weights"),
    "kshot": partial(sweep_tables, "kshot", "shots", "training cases"),
    "gap": gap_tables,  # default against tuned settings
    "comparison": comparison_tables,  # paired differences to a reference
    "noninferiority": noninferiority_tables,  # to full fine-tuning, at a margin
    "variance": variance_tables,  # between cases, folds and seeds
}

COLUMNWISE = ("pretraining", "kshot", "gap")  # whose columns have protocols of their own
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
    margin_points: float = MARGIN_POINTS  # of Dice, for non-inferiority
    intervals: bool = False  # of means in the main table, instead of standard deviations
    penalty_mm: float | None = None  # as `compare_methods`
    per_dataset: bool = False  # the terminal is too narrow for anything else
    view: View = field(default_factory=View)
    names: Names = BUILT_IN_NAMES
    venue: str = "article"  # of LaTeX
    caption: str = ""  # of a single table in LaTeX, instead of the program's; and its label
    label: str = ""


def build_tables(
    results: Sequence[RunResult], request: ReportRequest, *, per_dataset: bool
) -> list[Table]:
    """Return the tables of a request; ``per_dataset`` gives each data set its own main table."""
    return build_tables_of(summarise(results, request), request, per_dataset=per_dataset)[0]


def build_tables_of(
    summaries: Sequence[MethodComparison], request: ReportRequest, *, per_dataset: bool
) -> tuple[list[Table], list[str]]:
    """Return as `build_tables`, and a sentence for each kind of ``all`` that found nothing."""
    builders = KINDS | {"comparison": partial(comparison_tables, reference=request.versus)}
    for name in COLUMNWISE:
        builders[name] = partial(KINDS[name], allow_mixed=request.allow_mixed)
    builders["noninferiority"] = partial(
        noninferiority_tables, reference=request.versus, margin_points=request.margin_points
    )
    build_main = partial(main_tables, intervals=request.intervals)
    builders[MAIN] = build_main
    if per_dataset:
        builders[MAIN] = lambda found: list(chain(*(build_main([summary]) for summary in found)))
    absent: list[str] = []
    if request.kind == ALL:
        builders["paper"] = partial(paper_tables, several=True)
    if request.kind != ALL:
        kind = "comparison" if request.versus and request.kind == MAIN else request.kind
        tables = builders[kind](summaries)
    else:
        tables = builders.pop(MAIN)(summaries)
        for name, build in builders.items():
            parts = [summaries]
            # a setting that fails must not take the others along
            if name in ("comparison", "noninferiority"):
                parts = [[summary] for summary in summaries]
            for part in parts:
                try:
                    tables += build(part)
                except ValueError as error:
                    absent.append(str(error))
    return [apply_view(table, request.view) for table in tables], absent


def summarise(results: Sequence[RunResult], request: ReportRequest) -> list[MethodComparison]:
    """Return one row per method for each setting."""
    return compare_methods(
        results,
        allow_mixed=request.allow_mixed,
        intersection=request.intersection,
        spread=request.spread,
        penalty_mm=request.penalty_mm,
        names=request.names,
    )
