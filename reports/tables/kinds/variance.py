"""The table of variances: how much mean Dice differs between cases, folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports.analysis.comparison import MethodComparison
from reports.analysis.variance import count_trainings, measure_differences, measure_spreads
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.kinds.differences import name_cell
from reports.tables.table import MISSING, Cell, Head, Table, fill_columns, make_slug

GROUP = "Standard deviation (% points) between"
STEP = 0.01  # of Dice, one percentage point
HEADS = (
    Head("method", ("Method",)),
    Head("n_trainings", ("Trainings",), 0),
    Head("case", (GROUP, "cases"), 2),
    Head("fold", (GROUP, "folds"), 2),
    Head("seed", (GROUP, "seeds"), 2),
    Head("residual", (GROUP, "residual"), 2),
    Head("needed", ("Trainings for 1 point",), 0),
)
EXPLANATION = (
    "Components by analysis of variance, negative ones cut off at 0; cases within folds, seeds "
    "within folds; residual: of a training on a case beyond both. With one seed per fold, folds "
    "include the training and cases the residual.",
    "Trainings for 1 point: of this method and of another one (average over these) each, so that a "
    "true difference of 1 point of Dice is found on these cases with 80 % power by a two-sided "
    "paired t test at alpha 5 %, not corrected for several methods; –: not known, or too few cases "
    "for any number of trainings.",
)


def variance_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting that has several trainings of a method.

    Raises: ValueError if there is none.
    """
    found = []
    for comparison in comparisons:
        if comparison.rows["n_runs"].max() > 1 and not comparison.mixed and any(comparison.ranked):
            found.append(_variance_table(comparison))
    if not found:
        wanted = "a method with several folds or seeds in one protocol"
        raise ValueError(f"report: the variance table must have {wanted}, got none")
    return found


def _variance_table(comparison: MethodComparison) -> Table:
    rows: list[dict[str, Any]] = []
    for method, spread in measure_spreads(comparison.runs).items():
        differences = measure_differences(comparison.runs, method)
        needed = None
        if differences:
            needed = count_trainings(differences, len(comparison.scores), STEP)
        row: dict[str, Any] = {"method": name_cell(method, comparison)}
        row["n_trainings"] = spread.n_trainings
        for name in ("case", "fold", "seed", "residual"):
            row[name] = 100 * getattr(spread, name)
        rows.append(row | {"needed": Cell(MISSING) if needed is None else needed})
    slug = make_slug("variance", *name_setting(comparison.setting))
    columns = fill_columns(HEADS, rows)
    names = ("variance", slug, "variance", "Variation of mean Dice of PET methods")
    return replace(assemble(Draft(*names, columns, EXPLANATION), [comparison]), notes=())
