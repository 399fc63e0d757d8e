"""The layout of Med-Tuning's main tables: a group of rows for each backbone and pre-training.

Data sets and releases are groups of columns, with Dice and HD95 of every region.

Reference: Shen et al., Med-Tuning, MIDL 2024, tables 1 and 2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import score_keys
from reports.analysis.tidy import MEAN, NO_BACKBONE, describe_decoder
from reports.records.metrics import METRICS
from reports.tables import wording
from reports.tables.assemble import Draft, assemble
from reports.tables.costs import describe_costs
from reports.tables.layout import REFERENCES, MethodRows, RowKey, find_references
from reports.tables.table import MISSING, Cell, Column, Table, make_slug
from reports.tables.undefined import OWN_CASES, RULE, describe_scopes

COSTS = ("tuned_m", "trained_m", "total_m", "volume_gflop", "peak_mib")
SHOWN = ("dice", "hd95_mm")
WITHIN = "Best, second and ties are within each group of rows."
SCRATCH = "from scratch"  # of a backbone with random weights

Compared = Sequence[MethodComparison]


def paper_tables(comparisons: Compared, *, several: bool = False) -> list[Table]:
    """Return one table for each number of training cases and tuning budget.

    Raises: ValueError if ``several`` backbones or pre-trainings are wanted and no table has any.
    """
    groups: dict[tuple[object, ...], list[MethodComparison]] = {}
    for comparison in comparisons:
        setting = comparison.setting
        if setting.backbone != NO_BACKBONE:
            groups.setdefault((setting.shots, setting.tuned), []).append(comparison)
    found = []
    for group in groups.values():
        blocks = _split_blocks(group)
        if len(blocks) > 1 or not several:
            found.append(_paper_table(group, blocks))
    if not found:
        wanted = "runs with a backbone" if not several else "several backbones or pre-trainings"
        raise ValueError(f"report: the paper table must have {wanted}, got none")
    return found


def _split_blocks(group: Compared) -> dict[str, list[MethodComparison]]:
    """Return the settings of each group of rows by its heading."""
    blocks: dict[str, list[MethodComparison]] = {}
    for comparison in group:
        weights = SCRATCH if comparison.setting.weights == "none" else comparison.weights
        heading = f"{comparison.backbone}, {weights}"
        decoder = describe_decoder(comparison.setting, comparison.names)
        heading = ", ".join(filter(None, (heading, decoder)))
        blocks.setdefault(heading, []).append(comparison)
    return blocks


def _paper_table(group: Compared, blocks: dict[str, list[MethodComparison]]) -> Table:
    by_dataset: dict[str, MethodComparison] = {}
    for comparison in group:
        by_dataset.setdefault(comparison.setting.dataset, comparison)
    firsts = list(by_dataset.values())
    columns: list[list[Column]] = []
    sections: dict[int, str] = {}
    n_rows = 0
    for heading, rows in _list_blocks(blocks):
        sections[n_rows] = heading
        n_rows += len(rows.keys)
        columns.append(_build_columns(rows, firsts))
    joined = []
    for parts in zip(*columns, strict=True):
        cells = tuple(cell for part in parts for cell in part.cells)
        joined.append(replace(parts[0], cells=cells))
    joined = [column for column in joined if not column.is_missing]
    sentences = [wording.describe_scores(group, "setting"), *wording.describe_metrics(group)]
    sentences += [*_describe_cases(group), *wording.describe_parameters(group)]
    results = [run for comparison in group for run in comparison.results]
    sentences += describe_costs(results, {column.key for column in joined})
    last = [*wording.describe_verdict(group), WITHIN]
    setting = group[0].setting
    few = f"{setting.shots}shot" if setting.shots else ""
    slug = make_slug("paper", *(each.setting.dataset for each in firsts), few, setting.tuned)
    subject = "PET methods by backbone and pre-training"
    draft = Draft("paper", slug, "", subject, joined, sentences, last, sections, "setting")
    return assemble(draft, group)


def _describe_cases(group: Compared) -> list[str]:
    """Return on which cases and methods each setting is compared, where it is not all."""
    found: dict[str, None] = {}
    for comparison in group:
        keys = [key for name in SHOWN for key in comparison.scopes if key.startswith(f"{name}/")]
        for sentence in describe_scopes([comparison], keys):
            general = sentence in (RULE, OWN_CASES) or len(group) == 1
            found[sentence if general else f"{comparison.title}: {sentence}"] = None
    return list(found)


def _list_blocks(blocks: dict[str, list[MethodComparison]]) -> Iterator[tuple[str, MethodRows]]:
    """Yield the rows of each block, and at the end those of the reference networks, once."""
    whole: dict[RowKey, list[MethodComparison]] = {}
    for heading, members in blocks.items():
        references = find_references(members)
        keys = []
        for key in MethodRows.of(members).keys:
            if key[0] in references:
                whole.setdefault(key, members)
            else:
                keys.append(key)
        if keys:
            yield heading, MethodRows(members, keys)
    if whole:
        yield REFERENCES, MethodRows(next(iter(whole.values())), list(whole))


def _build_columns(rows: MethodRows, firsts: Compared) -> list[Column]:
    """Return the columns of a block; ``firsts`` has a comparison for each data set."""
    columns = [rows.name_column(), *map(rows.cost_column, COSTS)]
    own = {comparison.setting.dataset: comparison for comparison in rows.comparisons}
    for first in firsts:
        comparison = own.get(first.setting.dataset)
        for name in SHOWN:
            metric = METRICS[name]
            for region in (*first.regions, MEAN):
                key = f"{name}/{region}"
                cells: tuple[Cell, ...] = (Cell(MISSING),) * len(rows.keys)
                if comparison is not None and key in score_keys(comparison.regions):
                    cells = rows.score_column(comparison, key).cells
                heading = first.names.find(name, metric.heading)
                heads = (first.heading, heading, first.names.find(region))
                columns.append(Column(f"{first.setting.dataset}:{key}", heads, cells))
    return columns
