"""Tables over one field of the setting: several weights, several numbers of training cases."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from reports.analysis.comparison import MethodComparison, align_cases
from reports.analysis.tidy import MEAN
from reports.tables.assemble import Draft, assemble, group_comparisons, name_setting
from reports.tables.conditions import check_columns, name_column
from reports.tables.layout import MethodRows, name_with_cases
from reports.tables.table import Table, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import describe_scores, describe_verdict

DICE = f"dice/{MEAN}"


def sweep_tables(
    kind: str,
    field: str,
    head: str,
    comparisons: Sequence[MethodComparison],
    *,
    allow_mixed: bool = False,
) -> list[Table]:
    """Return tables with a column per value of ``field``, "weights" or "shots", all else equal.

    Raises: ValueError if there are no two values, or if the protocols differ in something else and
    ``allow_mixed`` is not set.
    """
    found = []
    for group in group_comparisons(comparisons, field):
        if len(group) > 1:
            check_columns(kind, group, field, allow_mixed=allow_mixed)
            found.append(_sweep_table(kind, field, head, group))
    if not found:
        wanted = f"runs with several {head}, all else equal"
        raise ValueError(f"report: the {kind} table must have {wanted}, got none")
    return found


def _sweep_table(kind: str, field: str, head: str, group: Sequence[MethodComparison]) -> Table:
    group = align_cases(group, DICE)
    group = sorted(group, key=lambda comparison: comparison.setting.shots or inf)
    rows = MethodRows.of(group)
    columns = [rows.name_column()]
    for comparison in group:
        value = getattr(comparison.setting, field) or "all"
        column = rows.score_column(comparison, DICE)
        shown = name_with_cases(name_column(comparison, field), comparison)
        heads = (f"Mean Dice (%) by {head}", shown)
        columns.append(replace(column, key=f"{column.key}@{value}", heads=heads))
    columns += rows.note_columns()
    sentences = [describe_scores(group, field), *describe_scopes(group, [DICE])]
    own = replace(group[0].setting, **{field: ""})  # type: ignore[arg-type]  # only for its name
    slug = make_slug(kind, *name_setting(own))
    last = describe_verdict(group)
    subject = f"PET methods by {head}"
    draft = Draft(kind, slug, kind, subject, columns, sentences, last, rows.sections, field)
    return assemble(draft, group)
