"""From run folders to MLflow: each result under the parent run of its command, and the command's table with that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench.specs.folders import COMMANDS, RUNS
from bench.tracking.groups import Group, read_group
from bench.tracking.store import Store, TrackingError, open_store
from bench.tracking.studies import log_study
from reports.analysis.comparison import compare_methods
from reports.formats.markdown import format_markdown
from reports.records.run import RESULT_FILE, RunResult, read_result
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study
from reports.tables.main import main_tables


@dataclass(frozen=True)
class Tally:
    """What `sync` did: the ids of the runs that it sent, of how many; the names of the studies; and what is wrong, in
    one sentence each."""

    sent: tuple[str, ...]
    n_results: int
    sent_studies: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass
class Publisher:
    """Sends results to a store, and at the end brings the parent runs up to date."""

    store: Store
    out: Path
    parents: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # (group, data set) -> MLflow's run id
    groups: dict[str, Group | None] = field(default_factory=dict)  # None: its record is gone

    def send(self, result: RunResult, folder: Path) -> bool:
        """Send a result; return False if the store had it already.

        Raises: TrackingError if the store cannot be reached.
        """
        return self.store.log_result(result, folder, parent=self._find_parent(result))

    def finish(self) -> None:
        """Write the tables of all commands that something was sent for.

        Raises: TrackingError if the store cannot be reached.
        """
        for (group_id, dataset), parent in self.parents.items():
            group = self.groups[group_id]
            assert group is not None
            read = [read_folder(self.out / RUNS / run_id)[0] for run_id in group.runs[dataset]]
            results = [result for result in read if result is not None]
            tables = main_tables(compare_methods(results, allow_mixed=True))
            self.store.close_group(
                parent, group, results, [format_markdown(table) for table in tables]
            )

    def _find_parent(self, result: RunResult) -> str:
        if not result.group:
            return ""
        if result.group not in self.groups:
            self.groups[result.group] = read_group(self.out, result.group)
        group, key = self.groups[result.group], (result.group, result.dataset)
        if group is None:
            return ""
        if key not in self.parents:
            self.parents[key] = self.store.open_group(group, result.dataset)
        return self.parents[key]


class Tracker:
    """Sends the results of a grid to MLflow while it goes on; says once if MLflow is out of reach, and lets it be."""

    def __init__(self, out: Path, console: Console) -> None:
        self.console = console
        self.publisher: Publisher | None = None
        with self._giving_up():
            self.publisher = Publisher(open_store(), out)

    def send(self, result: RunResult, folder: Path) -> None:
        """Send the result that lies in ``folder``."""
        with self._giving_up():
            if self.publisher is not None:
                self.publisher.send(result, folder)

    def send_study(self, record: StudyRecord, folder: Path) -> None:
        """Send the study that lies in ``folder``."""
        with self._giving_up():
            if self.publisher is not None:
                log_study(self.publisher.store, record, folder)

    def finish(self) -> None:
        """Write the table of the command."""
        with self._giving_up():
            if self.publisher is not None:
                self.publisher.finish()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except TrackingError as error:
            self.publisher = None
            hint = "results stay in their folders, `python -m bench sync` sends them later"
            self.console.print(f"[yellow]tracking: {escape(str(error))}; {hint}[/]", soft_wrap=True)


def read_folder(folder: Path) -> tuple[RunResult | None, str]:
    """Return the result in a run's folder, or None and in one sentence why there is none; empty if it has not ended."""
    try:
        return read_result(folder), ""
    except (
        ValueError,
        TypeError,
        KeyError,
        OSError,
    ) as error:  # another version wrote it, or a hand
        cause = " ".join(str(error).split())
        return (
            None,
            f"{folder / RESULT_FILE}: must be a result of this version, got {type(error).__name__}: {cause}",
        )


def sync(store: Store, out: Path) -> Tally:
    """Send every result and every tuning study below ``out`` that the store lacks.

    Raises: ValueError if there is neither; TrackingError if the store cannot be reached.
    """
    folders = sorted(file.parent for file in (out / RUNS).glob(f"*/{RESULT_FILE}"))
    studies = sorted((out / TUNING).glob(f"*/{STUDY_FILE}"))
    if not folders and not studies:
        raise ValueError(
            f"sync: {out / RUNS} must hold the folders of runs, got none (--out names what `run` wrote to)"
        )
    publisher, sent, problems = Publisher(store, out), [], []
    for folder in folders:
        result, problem = read_folder(folder)
        if result is None:
            problems.append(problem)
        elif publisher.send(result, folder):
            sent.append(result.run_id)
    publisher.finish()
    lost = [group_id for group_id, group in publisher.groups.items() if group is None]
    problems += [
        f"{out / COMMANDS}: must hold {name}.json, got none (its runs have no parent run)"
        for name in lost
    ]
    sent_studies = []
    for file in studies:
        try:
            record = read_study(file)
        except (ValueError, TypeError, KeyError, OSError) as error:
            cause = " ".join(str(error).split())
            problems.append(
                f"{file}: must be a study of this version, got {type(error).__name__}: {cause}"
            )
            continue
        if log_study(store, record, file.parent):
            sent_studies.append(record.name)
    return Tally(tuple(sent), len(folders), tuple(sent_studies), tuple(problems))
