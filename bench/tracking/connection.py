"""Reaching an MLflow store: its address, what MLflow reads from the environment, its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE = "mlflow.db"  # where a plain `mlflow ui`, started in the same folder, looks

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
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / DATABASE}"


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
        cause = " ".join(str(error).split())[:300]
        raise TrackingError(
            f"store {uri}: must be reachable, got {type(error).__name__}: {cause}"
        ) from error
