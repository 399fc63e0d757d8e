"""Stores for tests: MLflow takes seconds to make its tables, so that is done once and the file is copied."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.tracking import open_store


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store's file, to be copied and not to be written."""
    file = tmp_path_factory.mktemp("template") / "mlflow.db"
    open_store(f"sqlite:///{file}")
    return file


@pytest.fixture
def new_store(database: Path) -> Callable[[Path], str]:
    """Put an empty store into a folder and return its URI."""

    def make(folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, folder / "mlflow.db")
        return f"sqlite:///{folder}/mlflow.db"

    return make
