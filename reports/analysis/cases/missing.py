"""Why runs have no numbers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten

from reports.names import Names, name_dataset
from reports.records.run import RunResult, Status


def explain_ends(group: Sequence[RunResult], names: Names) -> Iterator[str]:
    """Yield a sentence for the runs without numbers, one for those that ended alike."""
    ends: dict[tuple[str, str, str], list[RunResult]] = {}
    for run in group:
        if run.status != Status.DONE:
            ends.setdefault((run.label, run.status, run.reason), []).append(run)
    for (label, status, reason), runs in ends.items():
        first = runs[0]
        which = f"fold {first.fold}, seed {first.seed}" if len(runs) == 1 else f"{len(runs)} runs"
        title = first.release.title if first.release else ""
        where = f"{names.label(label)} on {name_dataset(first.dataset, title, names)}"
        yield f"{where}, {which}: {status} ({shorten(reason, 160)})."
