"""From what is special to a kind of table to the table: names, caption, notes, run ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reports.analysis.comparison import MethodComparison
from reports.analysis.shared_cases import describe_shared_cases
from reports.analysis.tidy import NO_BACKBONE, Setting
from reports.tables.table import Column, Table, align_heads
from reports.tables.training import describe_edges, describe_training
from reports.tables.wording import describe_protocol, describe_setting, join_values, list_runs


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


def assemble(draft: Draft, comparisons: Sequence[MethodComparison]) -> Table:
    """Return the table over one or several settings of one backbone."""
    notes: list[str] = []
    comments: list[str] = []
    for comparison in comparisons:
        notes += comparison.notes
        comments += list_runs(comparison.results)
    datasets = join_values(comparisons, "setting.heading")
    backbone = comparisons[0].setting.backbone
    where = "" if backbone == NO_BACKBONE else backbone
    title = " · ".join(filter(None, (draft.title, datasets, where)))
    columns = align_heads(draft.columns)
    caption = [*describe_setting(comparisons, draft.subject), *describe_shared_cases(comparisons)]
    caption += draft.sentences
    results = [result for comparison in comparisons for result in comparison.results]
    caption += [*describe_training(results), *describe_edges(results)]
    caption += [describe_protocol(comparisons), *draft.last]
    texts = (tuple(caption), tuple(notes), tuple(comments))
    table = Table(draft.kind, draft.slug, title, columns, *texts, dict(draft.sections))
    if table.has_places:
        table = replace(table, caption=(*caption, "Best in bold, second underlined."))
    return table


def group_comparisons(
    comparisons: Sequence[MethodComparison], field: str
) -> list[list[MethodComparison]]:
    """Return the groups of which the settings differ in one field alone."""
    groups: dict[Setting, list[MethodComparison]] = {}
    for comparison in comparisons:
        shared = replace(comparison.setting, **{field: ""})  # type: ignore[arg-type]  # only compared
        groups.setdefault(shared, []).append(comparison)
    return list(groups.values())


def name_setting(setting: Setting) -> tuple[str, str, str, str]:
    """Return the parts of a slug: data set, backbone, weights, and few training cases if few."""
    shots = f"{setting.shots}shot" if setting.shots is not None else ""
    return setting.dataset, setting.backbone, setting.weights, shots
