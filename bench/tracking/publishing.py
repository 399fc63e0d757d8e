"""From folders to MLflow: results below the parent run of their command, its tables, studies."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from bench.specs.run import COMMANDS, RUNS
from bench.tracking.connection import TrackingError
from bench.tracking.groups import Group, describe_group, read_group
from bench.tracking.store import Store, open_store
from bench.tracking.studies import log_study
from datasets.files import FileError, describe_os_error
from datasets.processes import PROGRAM
from reports.analysis.comparison import compare_methods
from reports.formats.markdown import format_markdown
from reports.formats.terminal import escape
from reports.records.run import RESULT_FILE, RunResult, read_result
from reports.records.study import STUDY_FILE, TUNING, StudyRecord, read_study
from reports.records.text import one_line
from reports.tables.kinds.main import main_tables

Record = TypeVar("Record", RunResult, StudyRecord)
# of one record: what MLflow refuses, a file that is gone, a value that no number can be
UNSENDABLE = (TrackingError, ValueError, TypeError, LookupError, AttributeError, OSError)
UNREADABLE = (ValueError, TypeError, KeyError, OSError)  # a file of another version, or edited


@dataclass
class Tracker:
    """Sends the results and studies below ``out`` to MLflow.

    A record that cannot be sent does not stop the others: it is among the problems, and printed if
    there is a console. A store that no longer answers ends the sending: with a console that is
    printed, without one TrackingError is raised.
    """

    out: Path
    store: Store | None = None  # by default that of `open_store`; None again after an error
    console: Console | None = None
    groups: dict[str, Group | None] = field(default_factory=dict)  # None: the record is gone
    parents: dict[tuple[str, str], str] = field(default_factory=dict)  # (group, data set) -> run
    problems: list[str] = field(default_factory=list)  # one sentence each
    causes: set[str] = field(default_factory=set)  # of the problems; each is printed once

    def __post_init__(self) -> None:
        if self.store is None:
            with self._guarding("all runs"):
                self.store = open_store()

    def send(self, result: RunResult, folder: Path) -> bool:
        """Send the result in ``folder``; return whether the store lacked it."""
        with self._guarding(f"run {result.run_id}"):
            if self.store is not None:
                parent = self._find_parent(self.store, result)
                return self.store.log_result(result, folder, parent)
        return False

    def send_study(self, record: StudyRecord, folder: Path) -> bool:
        with self._guarding(f"study {record.name}"):
            if self.store is not None:
                return log_study(self.store, record, folder)
        return False

    def finish(self) -> None:
        """Write the tables of all commands that results were sent for."""
        for (group_id, dataset), parent in self.parents.items():
            group = self.groups[group_id]
            with self._guarding(f"table of {group_id}"):
                if self.store is not None and group is not None:
                    results = self._read_results(group.runs.get(dataset, ()))
                    tables = main_tables(compare_methods(results, allow_mixed=True))
                    texts = [format_markdown(table) for table in tables]
                    self.store.close_group(parent, describe_group(group, results, texts))

    def _find_parent(self, store: Store, result: RunResult) -> str:
        if result.group and result.group not in self.groups:
            self.groups[result.group] = self._read_group(result.group)
        group = self.groups.get(result.group)
        if group is None:
            return ""
        key = (result.group, result.dataset)
        if key not in self.parents:
            self.parents[key] = store.open_group(group, result.dataset)
        return self.parents[key]

    def _read_group(self, group_id: str) -> Group | None:
        try:
            group = read_group(self.out, group_id)
        except FileError as error:
            self.problems.append(str(error))
            return None
        if group is None:
            rule = f"must hold {group_id}.json, got none (its runs have no parent run)"
            self.problems.append(f"{self.out / COMMANDS}: {rule}")
        return group

    def _read_results(self, run_ids: Sequence[str]) -> list[RunResult]:
        results = []
        for run_id in run_ids:
            with suppress(*UNREADABLE):
                result = read_result(self.out / RUNS / run_id)
                if result is not None:
                    results.append(result)
        return results

    @contextmanager
    def _guarding(self, what: str) -> Iterator[None]:
        try:
            yield
        except UNSENDABLE as error:
            cause = str(error) if isinstance(error, TrackingError) else describe_error(error)
            if self._is_away():
                if self.console is None:
                    raise
                self.store = None
            else:
                self.problems.append(f"{what} cannot be sent: {cause}")
            self._print_once(cause)

    def _is_away(self) -> bool:
        if self.store is None:
            return True
        try:
            self.store.ping()
        except TrackingError:
            return True
        return False

    def _print_once(self, cause: str) -> None:
        if self.console is not None and cause not in self.causes:
            hint = f"results stay in their folders, `{PROGRAM} sync` sends them later"
            self.console.print(f"[yellow]tracking: {escape(cause)}; {hint}[/]", soft_wrap=True)
        self.causes.add(cause)


def describe_error(error: Exception) -> str:
    """Return an error of a record in one sentence."""
    if isinstance(error, OSError):
        return describe_os_error(error)
    return f"{type(error).__name__}: {one_line(str(error))}"


@dataclass(frozen=True)
class Tally:
    """What `sync` did."""

    sent: tuple[str, ...]  # ids of runs
    n_results: int
    sent_studies: tuple[str, ...]  # names
    problems: tuple[str, ...]  # one sentence each


def sync(store: Store, out: Path) -> Tally:
    """Send every result and every tuning study below ``out`` that the store lacks.

    Raises: ValueError if there is neither; TrackingError if the store cannot be reached.
    """
    files = sorted((out / RUNS).glob(f"*/{RESULT_FILE}"))
    study_files = sorted((out / TUNING).glob(f"*/{STUDY_FILE}"))
    if not files and not study_files:
        rule = "must hold the folders of runs, got none (--out names what `run` wrote to)"
        raise ValueError(f"sync: {out / RUNS} {rule}")
    tracker = Tracker(out, store)
    runs, problems = _send(files, "result", lambda file: read_result(file.parent), tracker.send)
    tracker.finish()
    studies, study_problems = _send(study_files, "study", read_study, tracker.send_study)
    return Tally(
        sent=tuple(run.run_id for run in runs),
        n_results=len(files),
        sent_studies=tuple(study.name for study in studies),
        problems=(*problems, *tracker.problems, *study_problems),
    )


def _send(
    files: Sequence[Path],
    kind: str,
    read: Callable[[Path], Record | None],
    send: Callable[[Record, Path], bool],
) -> tuple[list[Record], list[str]]:
    """Return the records that the store lacked, and in one sentence each what could not be read."""
    sent, problems = [], []
    for file in files:
        try:
            record = read(file)
        except FileNotFoundError:  # a command replaces it, and sends what it has written
            continue
        except UNREADABLE as error:
            cause = one_line(str(error)).removeprefix(f"{file}: ")
            problems.append(f"{file}: must be a {kind} of this version, got {cause}")
            continue
        if record is not None and send(record, file.parent):
            sent.append(record)
    return sent, problems
