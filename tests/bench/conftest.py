"""Small data and runs for tests, and stores.

MLflow takes seconds to make the tables of a store, so its file is copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bench.specs.protocol import DataSpec, ModelSpec, Protocol, TrainSpec
from bench.specs.run import MethodSpec, Place, RunSpec
from bench.tracking.store import open_store
from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult

PATCH = (4, 32, 32)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five small synthetic BraTS cases."""
    root = tmp_path_factory.mktemp("phantoms") / "brats"
    write_phantoms("brats", root, 5, shape=(16, 32, 32))
    return root


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_run(phantoms: Path) -> Callable[..., RunSpec]:
    """Return the spec of a run of two training steps."""

    def make(method: str = "lora", backbone: str = "tiny_vit", **fields: object) -> RunSpec:
        data = DataSpec(patch=PATCH, patches_per_epoch=2, n_folds=3)
        protocol = Protocol(
            data,
            ModelSpec(backbone),
            TrainSpec(epochs=2, batch=2, val_every=1, lr=1e-2, decoder_lr=1e-2),
        )
        return replace(
            RunSpec(MethodSpec(method), "brats", "abc", 0, 0, protocol, phantoms), **fields
        )

    return make


@pytest.fixture
def carry_out(prepared: Path) -> Callable[..., RunResult]:
    """Return a function that carries out a run in a folder, on the CPU, with a shared cache."""
    from bench.run.execute import execute_run  # heavy, and few tests need it

    def carry(spec: RunSpec, folder: Path, cache: Path = prepared) -> RunResult:
        return execute_run(spec, Place(folder, cache, "cpu"), lambda *message: None)

    return carry


@pytest.fixture
def use_mlflow() -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that returns MLflow itself, at a store's address, for one test."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI", "")

    def use(uri: str) -> ModuleType:
        mlflow.set_tracking_uri(uri)
        return mlflow

    yield use
    mlflow.set_tracking_uri(before)  # which also sets the variable
    if not before:
        os.environ.pop("MLFLOW_TRACKING_URI", None)


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
