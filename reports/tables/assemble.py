"""From what is special to a kind of table to the table: names, caption, notes, run ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from reports.analysis.cases.shared import describe_shared_cases
from reports.analysis.comparison import MethodComparison
from reports.analysis.tidy import NO_BACKBONE, Setting, name_tuning
from reports.records.run import RunResult
from reports.tables.conditions import (
    SEEN_MARK,
    describe_environment,
    describe_protocols,
    describe_tuning,
    has_seen_held_out,
    warn_briefly,
)
from reports.tables.table import TIE_MARK, Column, Table, align_heads
from reports.tables.training import describe_edges, describe_training
from reports.tables.wording import describe_setting, join_values, list_runs

PLACES = "Best in bold, second underlined."


@dataclass(frozen=True)
class Draft:
    """What is special to a table of methods."""

    kind: str
    slug: str
    title: str  # before data set and backbone
    subject: str  # of the first sentence
    columns: Sequence[Column]
    sentences: Sequence[str]  # of the caption, before the protocol
    last: Sequence[str] = ()  # sentences after the protocol
    sections: Mapping[int, str] = field(default_factory=dict)  # as of `Table`
    axis: str = "dataset"  # the field of `Setting` in which the settings of the table differ


def assemble(draft: Draft, comparisons: Sequence[MethodComparison]) -> Table:
    """Return the table over one or several settings of one backbone."""
    notes: list[str] = []
    comments: list[str] = []
    results: list[RunResult] = []
    for comparison in comparisons:
        notes += comparison.notes
        comments += list_runs(comparison.results)
        results += comparison.results
    datasets = join_values(comparisons, "heading")
    names = comparisons[0].names
    backbone = comparisons[0].setting.backbone
    where = "" if backbone == NO_BACKBONE else names.find(backbone)
    title = " · ".join(filter(None, (draft.title, datasets, where)))
    first, *others = align_heads(draft.columns)
    columns = (_mark_seen(first, results), *others)
    caption = [*describe_setting(comparisons, draft.subject), *describe_shared_cases(comparisons)]
    caption += draft.sentences
    caption += [*describe_training(results, names), describe_protocols(comparisons, draft.axis)]
    caption += describe_environment(results)
    caption += [
        *describe_tuning(comparisons, draft.axis),
        *describe_edges(results, names),
        *draft.last,
    ]
    texts = (tuple(caption), tuple(notes), tuple(comments))
    table = Table(draft.kind, draft.slug, title, columns, *texts, dict(draft.sections))
    if table.has_places:
        table = replace(table, caption=(*caption, PLACES))
    brief = (describe_setting(comparisons, draft.subject)[0], *_explain_marks(table))
    return replace(table, brief=brief, warnings=tuple(warn_briefly(comparisons, draft.axis)))


def _explain_marks(table: Table) -> Iterator[str]:
    """Yield what bold and marks mean, in the fewest words."""
    cells = list(chain.from_iterable(column.cells for column in table.columns))
    if table.has_places:
        yield PLACES
    if any(cell.tied for cell in cells):
        yield f"{TIE_MARK}: not told apart from the best."
    if any(cell.mark == SEEN_MARK for cell in cells):
        yield f"{SEEN_MARK}: tuned on held-out cases of another fold."


def _mark_seen(names: Column, results: Sequence[RunResult]) -> Column:
    """Return the column of methods with a mark at those whose tuning could use held-out cases."""
    seen = {run.label for run in results if has_seen_held_out(run)}
    cells = []
    for cell in names.cells:
        label = cell.own_key.partition(" [")[0]  # a protocol follows where several are mixed
        cells.append(replace(cell, mark=SEEN_MARK) if label in seen else cell)
    return replace(names, cells=tuple(cells))


def group_comparisons(
    comparisons: Sequence[MethodComparison], field: str
) -> list[list[MethodComparison]]:
    """Return the groups of which the settings differ in one field alone."""
    groups: dict[Setting, list[MethodComparison]] = {}
    for comparison in comparisons:
        changes: dict[str, Any] = {field: ""}  # only compared, so that the type may differ
        shared = replace(comparison.setting, **changes)
        groups.setdefault(shared, []).append(comparison)
    return list(groups.values())


def name_setting(setting: Setting) -> tuple[str, ...]:
    """Return the parts of a slug: data set, backbone, weights, decoder, training cases, tuning."""
    decoder = (setting.decoder, setting.decoder_mode, setting.decoder_from)
    shots = f"{setting.shots}shot" if setting.shots else ""
    tuned = name_tuning(setting.tuned) if setting.tuned else ""
    return setting.dataset, setting.backbone, setting.weights, *decoder, shots, tuned
