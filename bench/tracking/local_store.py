"""What is special about an MLflow store in a SQLite file: where its artifacts lie, what becomes of them when the folder
is moved, and what hides it from a plain ``mlflow ui``.

MLflow writes absolute addresses of artifacts into the database, also where a relative one was
given, and the server's relative ones (``mlflow-artifacts:``) cannot be read without a server. Hence
a folder that was moved needs a repair.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

DATABASE = "mlflow.db"  # where a plain `mlflow ui`, started in the same folder, looks
ARTIFACTS = "mlruns"  # next to the database
SCHEME = "sqlite:///"


def artifact_place(uri: str, experiment: str) -> str | None:
    """Return where an experiment's artifacts go: next to a SQLite database; None for a server, which decides."""
    database = database_file(uri)
    return None if database is None else (database.parent / ARTIFACTS / experiment).as_uri()


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None if the store is of another kind."""
    return Path(uri.removeprefix(SCHEME)).resolve() if uri.startswith(SCHEME) else None


def repair_moved(uri: str) -> list[str]:
    """Point the store's experiments to the artifacts next to the database; return the names of those that were changed.

    Only experiments with artifacts in a folder ``mlruns/NAME`` are touched, those that the
    benchmark makes.

    Raises: sqlite3.Error if the file cannot be written or is no database of MLflow.
    """
    database = database_file(uri)
    if database is None or not database.is_file():
        return []
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        moved = list(_iter_moved(uri, connection))
        for number, _, old, new in moved:
            connection.execute(
                "update experiments set artifact_location = ? where experiment_id = ?",
                (new, number),
            )
            connection.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?)"
                " where experiment_id = ? and substr(artifact_uri, 1, ?) = ?",
                (new, len(old) + 1, number, len(old) + 1, f"{old}/"),
            )
    return [name for _, name, _, _ in moved]


def _iter_moved(uri: str, connection: sqlite3.Connection) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, name, old and new place of each experiment whose artifacts are not where they would be now."""
    for number, name, old in connection.execute(
        "select experiment_id, name, artifact_location from experiments"
    ):
        new = artifact_place(uri, name)
        assert new is not None
        if (
            old != new
            and old.startswith("file:")
            and old.endswith(new[new.rindex(f"/{ARTIFACTS}/") :])
        ):
            yield number, name, old, new


def find_shadow(uri: str) -> Path | None:
    """Return the file for whose sake a plain ``mlflow ui`` in the database's folder would show an older store, or None.

    MLflow prefers a file store, ``mlruns`` with a numbered folder in it, to the database beside it.
    """
    database = database_file(uri)
    if database is None:
        return None
    old = (database.parent / ARTIFACTS).glob("*/meta.yaml")
    return next((file for file in sorted(old) if file.parent.name.isdigit()), None)


def describe_browsing(uri: str) -> str:
    """Return in words how the store is looked at, and what to do if a plain ``mlflow ui`` would show another one."""
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
        f"python -m bench ui   ({where} is of an older MLflow store, which a plain `mlflow ui` would show instead of "
        f"{DATABASE}: move the numbered folders of {ARTIFACTS} away)"
    )
