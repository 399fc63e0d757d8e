"""The non-inferiority table: what a method loses against full fine-tuning, and what it saves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports.analysis.claims.noninferiority import MARGIN_POINTS, NonInferiority, find_non_inferior
from reports.analysis.claims.robustness import (
    FAILURE_DICE,
    LOW_PERCENTILE,
    find_bad_cases,
    ranking_stability,
)
from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import PARAMETERS
from reports.analysis.statistics import TooFewError
from reports.analysis.tidy import MEAN
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.kinds.differences import describe_unfinished, explain_rough, interval_cell
from reports.tables.layout import MethodRows
from reports.tables.table import MISSING, Cell, Column, Head, Table, fill_columns, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import describe_fit, describe_parameters, describe_trainings

FULL = "full"  # the name of full fine-tuning among the methods
DICE = f"dice/{MEAN}"
COSTS = (*PARAMETERS, "peak_mib", "fit_s")
HEADS = (
    Head("difference", ("Difference (% points) [95 % CI]",), 1),
    Head("finding", ("Finding",)),
    Head("p_non_inferior", ("p", "non-inferior"), 3),
    Head("p_equivalent", ("p", "equivalent"), 3),
    Head("p_inferior", ("p", "inferior"), 3),
    Head("p_false", ("P (false claim)",), 3),
    Head("low_pct", ("Dice (%)", f"{LOW_PERCENTILE:g}th percentile"), 1),
    Head("failed_pct", ("Failures (%)",), 1),
)
CLAIMS = ("p_non_inferior", "p_equivalent", "p_inferior")  # left out where there is little room
METHOD = (
    "Two one-sided Student's t tests at 5 % of the mean paired difference; {trainings}; "
    "p with Holm's correction over the methods, for each claim; intervals are not corrected. "
    "Non-inferior: above the lower margin; equivalent: also below the upper; "
    "inferior: below the lower; undecided: none of them."
)
FALSE_CLAIM = (
    "P (false claim): posterior probability that the one of higher mean is not the better one."
)
BAD_CASES = (
    f"Failures: trainings and cases with a region of Dice < {FAILURE_DICE:g}. "
    f"{LOW_PERCENTILE:g}th percentile: of mean Dice over trainings and cases."
)


def noninferiority_tables(
    comparisons: Sequence[MethodComparison],
    reference: str = "",
    margin_points: float = MARGIN_POINTS,
) -> list[Table]:
    """Return one table per setting: each ranked method against a reference.

    ``reference`` is a label or name; "": full fine-tuning.

    Raises: ValueError if a setting has mixed protocols, not the reference, or too few cases.
    """
    tables = []
    for comparison in comparisons:
        tables.append(_table(comparison, reference, margin_points))
    return tables


def compare_at_margin(
    comparison: MethodComparison, asked: str, margin_points: float
) -> tuple[str, list[NonInferiority]]:
    """Return the label of the reference, and each other ranked method against it.

    Raises: as `noninferiority_tables`.
    """
    where = f"report: non-inferiority on {comparison.title}"
    if comparison.mixed:
        raise ValueError(f"{where} must have one protocol, got {comparison.difference}")
    reference = _find_reference(comparison, asked, where)
    try:
        return reference, find_non_inferior(comparison.scopes[DICE], reference, margin_points / 100)
    except TooFewError as error:
        raise TooFewError(f"{where}: {error}") from None


def _table(comparison: MethodComparison, asked: str, margin_points: float) -> Table:
    reference, found = compare_at_margin(comparison, asked, margin_points)
    labels = [reference, *(each.method for each in found)]
    rows = [_describe(comparison, reference, None)]
    rows += [_describe(comparison, each.method, each) for each in found]
    layout = MethodRows([comparison], [(label, "") for label in labels])
    costs = [column for column in map(layout.cost_column, COSTS) if not column.is_missing]
    columns: list[Column] = [layout.name_column()]
    for column in fill_columns(HEADS, rows):
        columns.append(replace(column, optional=column.key in CLAIMS))
    columns += costs
    slug = make_slug("noninferiority", *name_setting(comparison.setting))
    shown = comparison.names.label(reference)
    subject = f"Non-inferiority of mean Dice to {shown}, margin {margin_points:g} points,"
    title = f"non-inferiority to {shown}"
    trainings = describe_trainings(comparison, found[0].n_trainings, found[0].n_folds)
    sentences = [f"n = {found[0].n_cases} cases.", METHOD.format(trainings=trainings)]
    sentences += [*explain_rough(columns), FALSE_CLAIM, BAD_CASES]
    sentences += _describe_ranking(comparison)
    sentences += [*describe_parameters([comparison]), *describe_fit(columns)]
    draft = Draft("noninferiority", slug, title, subject, columns, sentences)
    return replace(assemble(draft, [comparison]), notes=())


def _find_reference(comparison: MethodComparison, asked: str, where: str) -> str:
    ranked = comparison.scopes[DICE].ranked if comparison.scopes else ()
    wanted = asked or FULL
    for label, name in zip(comparison.rows["method"], comparison.rows["name"], strict=True):
        if label in ranked and wanted in (label, name):
            return str(label)
    rule = f"{where} must have the reference with all runs done and ranked"
    got = f"'{wanted}' not among {', '.join(ranked) or 'none'}"
    raise TooFewError(f"{rule}, got {got} (--versus)")


def _describe(
    comparison: MethodComparison, label: str, found: NonInferiority | None
) -> dict[str, Any]:
    bad = find_bad_cases(comparison.scopes, label)
    row: dict[str, Any] = {"low_pct": 100 * bad.low_dice, "failed_pct": 100 * bad.failed_frac}
    if found is None:
        empty = dict.fromkeys((head.key for head in HEADS), Cell(MISSING))
        return empty | row | {"finding": "reference"}
    row |= {"difference": interval_cell(found.difference), "finding": str(found.finding)}
    row |= {f"p_{claim}": p for claim, p in vars(found.p).items()}
    return row | {"p_false": found.p_false}


def _describe_ranking(comparison: MethodComparison) -> list[str]:
    """Return who is compared, and how stable the ranking is over draws of cases."""
    tau = ranking_stability(comparison.scopes[DICE].matrix())
    stability = f"{tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"
    return [
        *describe_scopes([comparison], [DICE]),
        *describe_unfinished(comparison),
        f"Kendall's tau of the ranking by mean Dice over draws of cases: {stability} "
        "(1: every draw ranks alike).",
    ]
