"""An MLflow store in a SQLite file: its artifacts, its repair, what hides it from ``mlflow ui``.

MLflow writes absolute addresses of artifacts into the database, also where a relative one was
given, and the server's relative ones (``mlflow-artifacts:``) cannot be read without a server. Hence
a folder that was moved needs a repair.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.tracking.connection import DATABASE, reaching

ARTIFACTS = "mlruns"  # next to the database
SCHEME = "sqlite:///"


def artifact_place(uri: str, experiment: str) -> str | None:
    """Return the address of an experiment's artifacts; None: a server decides."""
    database = database_file(uri)
    return None if database is None else (database.parent / ARTIFACTS / experiment).as_uri()


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None if the store is of another kind."""
    return Path(uri.removeprefix(SCHEME)).resolve() if uri.startswith(SCHEME) else None


def repair_moved(uri: str) -> list[str]:
    """Point a moved SQLite store's experiments to the artifacts beside it; return their names.

    Only experiments with artifacts in a folder ``mlruns/NAME`` are changed, which are those that
    the benchmark makes.

    Raises: TrackingError if the database cannot be written.
    """
    database = database_file(uri)
    if database is None or not database.is_file():
        return []
    moved = []
    with reaching(uri), closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        rows = connection.execute("select experiment_id, name, artifact_location from experiments")
        for number, name, old in rows.fetchall():
            if _is_moved(uri, name, old):
                _move_experiment(connection, number, old, str(artifact_place(uri, name)))
                moved.append(name)
    return moved


def _is_moved(uri: str, name: str, old: str) -> bool:
    """Whether an experiment's artifacts were beside a database that was in another folder."""
    new = artifact_place(uri, name)
    assert new is not None
    tail = new[new.rindex(f"/{ARTIFACTS}/") :]
    return old != new and old.startswith("file:") and old.endswith(tail)


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
