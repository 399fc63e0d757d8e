"""Reaching an MLflow store: its address, its environment and errors, and a local store's repair.

MLflow writes absolute addresses of artifacts into the database (its relative ones,
``mlflow-artifacts:``, need a server). Hence a folder that was moved needs a repair.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATABASE = "mlflow.db"  # where a plain `mlflow ui`, started in the same folder, looks
ARTIFACTS = "mlruns"  # next to the database
SCHEME = "sqlite:///"

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


class TrackingError(ValueError):
    """The store cannot be used; the message is one sentence that names it."""


def default_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SCHEME}{Path.cwd() / DATABASE}"


def prepare_environment() -> None:
    """Set what MLflow reads from the environment when it is imported, also in a child process."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its network raise into one sentence about the store."""
    prepare_environment()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise TrackingError(f"store {uri}: must be reachable, got {cause}") from error


def artifact_place(uri: str, experiment: str) -> str | None:
    """Return the address of an experiment's artifacts; None: a server decides."""
    database = database_file(uri)
    return None if database is None else (database.parent / ARTIFACTS / experiment).as_uri()


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None if the store is of another kind."""
    return Path(uri.removeprefix(SCHEME)).resolve() if uri.startswith(SCHEME) else None


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
        return "python -m bench ui"
    shadow = find_shadow(uri)
    if shadow is None:
        return "mlflow ui"
    where = shadow.relative_to(database.parent)
    return (
        f"python -m bench ui   ({where} is of an older MLflow store, which a plain `mlflow ui` "
        f"would show instead of {DATABASE}: move the numbered folders of {ARTIFACTS} away)"
    )
