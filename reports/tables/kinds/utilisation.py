"""The table of utilisation: what the time of a run was spent on."""

from collections.abc import Sequence

from reports.analysis.comparison import MethodComparison
from reports.analysis.quantities import UTILISATION
from reports.tables.assemble import Draft, assemble, name_setting
from reports.tables.layout import MethodRows
from reports.tables.table import Table, make_slug

WHOLE = (
    "Shares of the time from the start of a run's process to the end of its measuring, mean over "
    "runs; steps: training steps, transfers included; waiting: for patches, between the steps; "
    "starting: up to the first batch; writing: the trained weights are written and read back."
)
PARTLY = "–: no run is done, or its record is without the times of its phases."
COMPILED = "Compiling: torch.compile of the network, which is in no other share."
BUSY = "GPU busy: share of the training in which the device computed (NVML)."


def utilisation_tables(comparisons: Sequence[MethodComparison]) -> list[Table]:
    """Return one table per setting in which a run has the times of its phases.

    Raises: ValueError if there is none.
    """
    found = []
    for comparison in comparisons:
        rows = MethodRows.of([comparison])
        columns = [each for each in map(rows.cost_column, UTILISATION) if not each.is_missing]
        if not columns:
            continue
        sentences = [WHOLE]
        if comparison.rows["step_pct"].isna().any():
            sentences.append(PARTLY)
        if any(column.key == "compile_pct" for column in columns):
            sentences.append(COMPILED)
        if any(column.key == "gpu_busy_pct" for column in columns):
            sentences.append(BUSY)
        slug = make_slug("utilisation", *name_setting(comparison.setting))
        names = ("utilisation", slug, "utilisation", "Time of runs of PET methods")
        draft = Draft(*names, [rows.name_column(), *columns], sentences, sections=rows.sections)
        found.append(assemble(draft, [comparison]))
    if not found:
        rule = "report: the utilisation table must have a run with the times of its phases"
        raise ValueError(f"{rule}, got none")
    return found
