"""The runs that one command asked for: their record on disk, and their parent run in MLflow."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

from bench.specs.run import COMMANDS, RunSpec, digest
from bench.tracking.entry import NOTE_TAG, Entry, build_metrics
from bench.tracking.keys import tag_of
from bench.tracking.results import times_ms
from datasets.files import FileError, file_name_of, read_record, write_durably
from reports.formats.markdown import as_code
from reports.records.run import RunResult, Status

SUMMARY_FILE = "summary.md"
DAMAGED = "the file is damaged: give the same command again, which writes it anew"
BAD = (Status.FAILED, Status.DIVERGED, Status.OOM, Status.TIMEOUT)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """A `run` command. The same runs make the same group, with any ``--jobs``."""

    id: str
    command: str  # as it was typed, last time
    started_at: str  # ISO 8601, the first time
    runs: Mapping[str, tuple[str, ...]]  # data set -> ids of its runs, in the order of the tables

    @property
    def title(self) -> str:
        words = self.command.removeprefix("python -m bench ").removeprefix("medtuning-bench ")
        return shorten(words, 60, placeholder=" …")


def begin_group(specs: Sequence[RunSpec], command: str, out: Path) -> Group:
    """Write the record of these runs and return it; ``started_at`` is kept from the first time."""
    runs: dict[str, tuple[str, ...]] = {}
    for spec in specs:
        runs[spec.dataset] = (*runs.get(spec.dataset, ()), spec.run_id)
    group_id = f"run-{digest(sorted(spec.run_id for spec in specs))}"
    earlier = _read_earlier(out, group_id)
    started_at = earlier.started_at if earlier else datetime.now(UTC).isoformat(timespec="seconds")
    group = Group(group_id, command, started_at, runs)
    write_durably(out / COMMANDS / f"{group_id}.json", json.dumps(asdict(group), indent=1))
    return group


def read_group(out: Path, group_id: str) -> Group | None:
    """Return the record of a command, or None if there is none.

    Raises: FileError if it is damaged.
    """
    file = out / COMMANDS / f"{file_name_of(group_id)}.json"
    return read_record(file, Group, DAMAGED) if file.is_file() else None


def _read_earlier(out: Path, group_id: str) -> Group | None:
    try:
        return read_group(out, group_id)
    except FileError as error:
        log.warning("%s; it is written anew, and its time of start is lost", error)
        return None


def describe_group(group: Group, results: Sequence[RunResult], tables: Sequence[str]) -> Entry:
    """Return what MLflow shows of a command on a data set: one or more results, Markdown tables."""
    n_runs = len(group.runs[results[0].dataset])
    head = f"{as_code(group.command)}\n\n{len(results)} of {n_runs} runs have ended."
    counts = Counter(result.status for result in results)
    status = "FINISHED" if counts.keys().isdisjoint(BAD) else "FAILED"
    return Entry(
        name=group.title,
        tags={
            NOTE_TAG: tag_of("\n\n".join([head, *map(_put_caption_last, tables)])),
            "mlflow.runName": group.title,
            "command": tag_of(group.command),
            "protocol_id": ", ".join(dict.fromkeys(result.protocol_id for result in results)),
            "synthetic": str(any(result.synthetic for result in results)).lower(),
        },
        metrics=build_metrics((f"runs/{each}", counts[each], 0) for each in Status),
        texts={SUMMARY_FILE: "\n".join(tables)},
        status="KILLED" if len(results) < n_runs else status,  # KILLED: some have not ended
        end_ms=max(times_ms(result)[1] for result in results),
    )


def _put_caption_last(table: str) -> str:
    """Return a table (Markdown) with its caption below: MLflow folds up the end of a note."""
    caption, _, rows = table.partition("\n\n")
    return f"{rows}\n{caption}"
