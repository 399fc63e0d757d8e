"""A new store and a folder of results."""

from pathlib import Path

import pytest

from bench.tracking.store import Store, open_store
from tests.bench.tracking.made_runs import NewStore


@pytest.fixture
def store(new_store: NewStore, tmp_path: Path) -> Store:
    return open_store(new_store(tmp_path / "store"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"
