"""The efficiency table: what each method costs."""

from collections.abc import Iterator, Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import COSTS
from reports.analysis.tidy import MEAN
from reports.records.run import RunResult
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.layout import MethodRows
from reports.tables.table import Table, make_slug
from reports.tables.undefined import describe_scopes
from reports.tables.wording import TUNED, describe_verdict

GFLOP = "GFLOP: for one patch, two per multiply-accumulate; training: forward and backward."
TIMES = "Times on {devices}: a training step, a held-out volume, the whole training."
EXPLANATIONS = (  # which columns they explain, and how
    ({"forward_gflop"}, GFLOP),
    ({"peak_mib"}, "Peak memory: of the device's allocator, on a CPU of the process."),
    ({"step_ms", "inference_s", "fit_s"}, TIMES),
    ({"delta_mib"}, "Delta: the file of what was trained."),
)


def efficiency_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting of the costs measured; ValueError if no run has a cost."""
    found = []
    for comparison in comparisons:
        rows = MethodRows.of([comparison])
        measured = []
        absent = []
        for column in map(rows.cost_column, COSTS):
            if column.is_missing:
                absent.append(column.key)
            else:
                measured.append(column)
        if not measured:
            continue
        sentences = [*describe_scopes([comparison], [f"dice/{MEAN}"]), TUNED]
        sentences += _explain(comparison.results, {column.key for column in measured})
        if absent:
            sentences.append(f"Not measured by these runs: {', '.join(absent)}.")
        dice = rows.score_column(comparison, f"dice/{MEAN}")
        columns = [rows.name_column(), *measured, dice]
        slug = make_slug("efficiency", *name_setting(comparison.setting))
        names = ("efficiency", slug, "efficiency", "Cost of PET methods")
        last = describe_verdict([comparison])
        draft = Draft(*names, columns, sentences, last, rows.sections)
        found.append(assemble(draft, [comparison]))
    if not found:
        raise ValueError("report: the efficiency table must have a run that is done, got none")
    return found


def _explain(results: Sequence[RunResult], shown: set[str]) -> Iterator[str]:
    devices = {str(result.provenance.get("device", "an unknown device")) for result in results}
    for costs, sentence in EXPLANATIONS:
        if shown & costs:
            yield sentence.format(devices=", ".join(sorted(devices)))
