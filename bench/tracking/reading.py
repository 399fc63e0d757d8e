"""Open a store to read it: what is not there is not made.

A SQLite file whose artifacts are in folders of this machine is read by SQL: importing MLflow takes
longer than that. All else, also a database that is damaged, is read by MLflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from bench.tracking.connection import (
    TrackingError,
    database_file,
    default_uri,
    find_local_folder,
    gc_paused,
)
from bench.tracking.entry import RESULT, RUNNING, STUDIES, STUDY, Kind
from bench.tracking.store import Store, describe_missing, open_store, read_artifact
from reports.records.run import RunResult

Record = TypeVar("Record")
RUNS = """
    select experiments.name, runs.name, runs.artifact_uri, keys.value
    from runs
    join experiments using (experiment_id)
    join tags as digests on digests.run_uuid = runs.run_uuid and digests.key = ?
    left join tags as keys on keys.run_uuid = runs.run_uuid and keys.key = ?
    where runs.lifecycle_stage = 'active' and experiments.lifecycle_stage = 'active'
    and runs.status != ?
    order by runs.start_time, runs.run_uuid
"""  # as MLflow orders them
ELSEWHERE = "select count(*) from runs where artifact_uri not like 'file:%'"


class Reader(Protocol):
    """What reports read from a store."""

    def load_results(self, *datasets: str) -> list[RunResult]:
        """Return the results of all, or some, data sets in the order in which runs started."""

    def load(
        self, kind: Kind, read: Callable[[Path], Record], experiments: Collection[str] = ()
    ) -> list[Record]:
        """Return the whole records of all, or some, experiments."""

    def list_datasets(self) -> list[str]:
        """Return the names of the experiments that hold results."""

    def fetch_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return a file of a run that was read, or None."""


@dataclass(frozen=True)
class LocalReader:
    """Reads a SQLite store with artifacts on this machine, without MLflow."""

    uri: str
    database: Path
    folders: dict[str, Path] = field(default_factory=dict)  # of the runs that were read, by record

    def load_results(self, *datasets: str) -> list[RunResult]:
        """Return the results of all, or some, data sets in the order in which runs started."""
        return self.load(RESULT, read_artifact, datasets)

    def load(
        self, kind: Kind, read: Callable[[Path], Record], experiments: Collection[str] = ()
    ) -> list[Record]:
        """Return the whole records of all, or some, experiments; TrackingError if a file lacks."""
        records = []
        with gc_paused():
            for experiment, name, uri, key in self._find_runs(kind):
                if experiments and experiment not in experiments:
                    continue
                folder = find_local_folder(uri)
                if folder is None or not (folder / kind.file).is_file():
                    raise TrackingError(describe_missing(self.uri, name, kind.file, uri))
                records.append(read(folder / kind.file))
                self.folders[key] = folder
        return records

    def list_datasets(self) -> list[str]:
        """Return the names of the experiments that hold results."""
        return sorted({experiment for experiment, *_ in self._find_runs(RESULT)})

    def fetch_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return a file of a run that was read, or None; nothing is copied."""
        file = self.folders[run_id] / name
        return file if file.is_file() else None

    def has_all(self) -> bool:
        """Return whether every run's artifacts are on this machine. Raises: sqlite3.Error."""
        with closing(self._connect()) as connection:
            (n_elsewhere,) = connection.execute(ELSEWHERE).fetchone()
        return n_elsewhere == 0

    def _find_runs(self, kind: Kind) -> list[tuple[str, str, str, str]]:
        """Return experiment, name, address of artifacts and key of each whole record's run.

        Raises: TrackingError if the file is locked, or has not all tables.
        """
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute(RUNS, (kind.digest_tag, kind.key_tag, RUNNING)).fetchall()
        except sqlite3.Error as error:
            cause = f"{type(error).__name__}: {error}"
            raise TrackingError(f"store {self.uri}: must be reachable, got {cause}") from error
        return [row for row in rows if row[0].startswith(STUDIES) == (kind is STUDY)]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.database.resolve().as_uri()}?mode=ro", timeout=20, uri=True)


def open_to_read(nothing: str) -> Reader:
    """Return what reads the store; raise ValueError with ``nothing`` if there is no file of it.

    Raises: TrackingError if it cannot be reached.
    """
    uri = default_uri()
    file = database_file(uri)
    if file is not None and file.is_file():
        reader = LocalReader(uri, file)
        try:
            if reader.has_all():
                return reader
        except sqlite3.Error:  # MLflow says what is wrong, or makes the tables
            return open_store(uri)
    return open_existing(nothing)


def open_existing(nothing: str) -> Store:
    """Return the store; raise ValueError with the sentence ``nothing`` if there is no file of it.

    Raises: TrackingError if it cannot be reached.
    """
    file = database_file(default_uri())
    if file is not None and not file.exists():
        raise ValueError(nothing)
    return open_store()
