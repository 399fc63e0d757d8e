"""Reaching an MLflow store: its address, its environment and errors, and a local store's repair.

MLflow writes absolute addresses of artifacts into the database (its relative ones,
``mlflow-artifacts:``, need a server). Hence a folder that was moved needs a repair.
"""

import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from bench.specs.addresses import find_sqlite_file, sqlite_address
from datasets.files import file_name_of, new_file
from datasets.processes import PROGRAM
from reports.records.text import mask_passwords, one_line

DATABASE = "mlflow.db"  # where a plain `mlflow ui`, started in the same folder, looks
ARTIFACTS = "mlruns"  # next to the database

# Nothing is sent to anybody but the tracking server, and a server that is away is noticed in
# seconds. Values that the user has set are kept.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
# MLflow's words for a request that it understood and will not carry out
REFUSALS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)


class TrackingError(ValueError):
    """The store does not do what it was asked to; the sentence names it, without passwords."""

    def __init__(self, sentence: str) -> None:
        super().__init__(mask_passwords(one_line(sentence)))


def default_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_address(Path.cwd() / DATABASE)


def prepare_environment() -> None:
    """Set what MLflow reads from the environment when it is imported, also in a child process."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its network raise into one sentence about the store."""
    prepare_environment()
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    system = (sqlite3.Error, OSError, UnicodeError)
    try:
        yield
    except (CommandError, MlflowException, SQLAlchemyError, *system) as error:
        cause = f"{type(error).__name__}: {one_line(str(error))[:300]}"
        is_refused = getattr(error, "error_code", "") in REFUSALS
        rule = "must take what is sent" if is_refused else "must be reachable"
        hint = ""
        if isinstance(error, CommandError) or "already exists" in cause:
            hint = f" (its tables were made in part: move it away, then `{PROGRAM} sync`)"
        raise TrackingError(f"store {uri}: {rule}, got {cause}{hint}") from error


def open_lock(uri: str) -> AbstractContextManager[object]:
    """Return what a command holds while it looks into a store and then writes.

    A SQLite store has a file for it among its artifacts; a server orders its clients itself. A
    folder that cannot be written to needs none.
    """
    database = database_file(uri)
    if database is None:
        return nullcontext()
    locks = database.parent / ARTIFACTS
    try:
        locks.mkdir(exist_ok=True)
        lock = FileLock(locks / f".{database.name}.lock")
        with lock:
            return lock
    except (OSError, NotImplementedError):
        return nullcontext()


def make_database(uri: str) -> None:
    """Make the file of a new SQLite store, which has its name only when all its tables are made.

    Must be called under the store's lock.
    """
    database = database_file(uri)
    if database is None or not database.parent.is_dir():
        return
    if database.exists() and (not database.is_file() or database.stat().st_size):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with new_file(database) as unfinished:
        made = SqlAlchemyStore(sqlite_address(unfinished), (database.parent / ARTIFACTS).as_uri())
        made.engine.dispose()


def artifact_place(uri: str, experiment: str) -> str | None:
    """Return the address of an experiment's artifacts; None: a server decides."""
    database = database_file(uri)
    if database is None:
        return None
    parts = map(file_name_of, experiment.split("/", 1))  # those of studies have two
    return database.parent.joinpath(ARTIFACTS, *parts).as_uri()


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None if the store is of another kind."""
    return find_sqlite_file(uri)


def find_local_folder(uri: str) -> Path | None:
    """Return the folder of an address of artifacts, or None if they are not on this machine."""
    place = urlsplit(uri)
    return Path(url2pathname(place.path)) if place.scheme == "file" else None


def repair_moved(uri: str) -> list[str]:
    """Point a moved SQLite store's experiments to the artifacts beside it; return their names.

    Only experiments with artifacts in a folder ``mlruns/NAME``, as the benchmark makes them, are
    changed. Raises: TrackingError if the database cannot be written.
    """
    database = database_file(uri)
    if database is None or not database.is_file():
        return []
    moved = []
    with reaching(uri), closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        rows = connection.execute("select experiment_id, name, artifact_location from experiments")
        for number, name, old in rows.fetchall():
            new = str(artifact_place(uri, name))
            tail = new[new.rindex(f"/{ARTIFACTS}/") :]
            if old != new and old.startswith("file:") and old.endswith(tail):
                _move_experiment(connection, number, old, new)
                moved.append(name)
    return moved


def _move_experiment(connection: sqlite3.Connection, number: int, old: str, new: str) -> None:
    connection.execute(
        "update experiments set artifact_location = ? where experiment_id = ?", (new, number)
    )
    connection.execute(
        "update runs set artifact_uri = ? || substr(artifact_uri, ?)"
        " where experiment_id = ? and substr(artifact_uri, 1, ?) = ?",
        (new, len(old) + 1, number, len(old) + 1, f"{old}/"),
    )
    connection.execute(
        "update logged_models set artifact_location = ? || substr(artifact_location, ?)"
        " where experiment_id = ? and substr(artifact_location, 1, ?) = ?",
        (new, len(old) + 1, number, len(old) + 1, f"{old}/"),
    )


def find_shadow(uri: str) -> Path | None:
    """Return the file that makes a plain ``mlflow ui`` show an older store, or None.

    MLflow prefers a file store, ``mlruns`` with a numbered folder in it, to the database beside it.
    """
    database = database_file(uri)
    if database is None:
        return None
    old = (database.parent / ARTIFACTS).glob("*/meta.yaml")
    return next((file for file in sorted(old) if file.parent.name.isdigit()), None)


def describe_browsing(uri: str) -> str:
    """Return how to look at the store; if a plain ``mlflow ui`` shows another, what to do."""
    database = database_file(uri)
    if uri.startswith("http"):
        return uri
    if database is None or database != Path.cwd() / DATABASE:
        return f"{PROGRAM} ui"
    shadow = find_shadow(uri)
    if shadow is None:
        return "mlflow ui"
    where = shadow.relative_to(database.parent)
    return (
        f"{PROGRAM} ui   ({where} is of an older MLflow store, which a plain `mlflow ui` "
        f"would show instead of {DATABASE}: move the numbered folders of {ARTIFACTS} away)"
    )


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the search for cyclic garbage, which takes half of the time of reading many results."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
