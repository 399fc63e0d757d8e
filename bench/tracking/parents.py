"""What MLflow shows of a command: the parent run over its runs on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

from bench.tracking.entries import GROUP_TAG
from bench.tracking.groups import Group
from reports.records.run import RunResult, Status

SUMMARY_FILE = "summary.md"


def run_name(group: Group) -> str:
    """Return how the parent run is called in lists."""
    return shorten(group.command.removeprefix("python -m bench "), 60, placeholder=" …")


def tags(group: Group, dataset: str) -> dict[str, str]:
    """Return what a parent run is found by. Results are told from it by their digest, which it does not have."""
    return {GROUP_TAG: group.id, "group": group.id, "dataset": dataset}


def summary_tags(
    group: Group, results: Sequence[RunResult], tables: Sequence[str]
) -> dict[str, str]:
    """Return the tags that change as results come: the command and, as the note that is seen first, the tables."""
    head = f"`{group.command}`\n\n{len(results)} of {len(group.runs[results[0].dataset])} runs have ended."
    return {
        "mlflow.note.content": "\n\n".join([head, *map(_put_caption_last, tables)]),
        "mlflow.runName": run_name(group),
        "command": group.command,
        "protocol_id": ", ".join(dict.fromkeys(result.protocol_id for result in results)),
        "synthetic": str(any(result.synthetic for result in results)).lower(),
    }


def status(group: Group, results: Sequence[RunResult]) -> str:
    """Return MLflow's word for how a command stands: KILLED if it was cut off, FAILED if some run did not end well."""
    if len(results) < len(group.runs[results[0].dataset]):
        return "KILLED"
    bad = (Status.FAILED, Status.DIVERGED, Status.OOM)
    return "FAILED" if any(result.status in bad for result in results) else "FINISHED"


def _put_caption_last(table: str) -> str:
    """Return a table (Markdown) with its caption below: MLflow shows the beginning of a note and folds up the rest."""
    caption, _, rows = table.partition("\n\n")
    return f"{rows}\n{caption}"
