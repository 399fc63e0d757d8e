"""Commands that start together on a store that is not there yet."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from bench.tracking.connection import TrackingError
from bench.tracking.groups import Group
from bench.tracking.store import Store, open_store

ROOT = Path(__file__).resolve().parents[3]
N_PROCESSES = int(os.environ.get("N_PROCESSES", "8"))
OPEN = """
import multiprocessing
import sys
from pathlib import Path
from bench.tracking.groups import Group
from bench.tracking.store import open_store
sys.path.insert(0, sys.argv[1])
from tests.faults.values.hostile_names import make_result
from mlflow.store.tracking import sqlalchemy_store

def send(number, barrier):
    barrier.wait()
    store = open_store()
    group = Group("run-one", "run", "2025-06-01T12:00:00+00:00", {"brats": ("a",)})
    parent = store.open_group(group, "brats")
    store.log_result(make_result(number, f"m{number}"), Path("none"), parent)
    store.log_result(make_result(99, "shared"), Path("none"), parent)

forks = multiprocessing.get_context("fork")  # each has imported all that it needs
count = int(sys.argv[2])
barrier = forks.Barrier(count)
children = [forks.Process(target=send, args=(number, barrier)) for number in range(count)]
for child in children:
    child.start()
for child in children:
    child.join()
failed = [child.exitcode for child in children if child.exitcode]
sys.exit(f"{len(failed)} of {count} have failed" if failed else 0)
"""


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    """Each sends a result of its own and one that all send; N_PROCESSES=32 is the full test."""
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(ROOT), str(N_PROCESSES)], cwd=tmp_path,
        env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in store.client.search_experiments() if e.name == "brats"]
    runs = store.client.search_runs([experiment.experiment_id])
    assert len(runs) == N_PROCESSES + 2  # one each, the shared one, and one parent
    assert {file.name for file in tmp_path.iterdir()} == {"mlflow.db", "mlruns"}


def test_a_store_that_was_made_in_part_is_a_sentence_with_a_way_out(tmp_path: Path) -> None:
    """As an earlier version left it, that made the tables in place and was killed."""
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("create table metrics (x integer)")
        database.execute("create table alembic_version (version_num varchar(32))")
    with pytest.raises(TrackingError, match=r"mlflow\.db: must be .* move it away, then .*sync"):
        open_store(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_killed_maker_leaves_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store
) -> None:
    from mlflow.store.db import utils

    def die(engine: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(utils, "_upgrade_db", die)
    with pytest.raises(KeyboardInterrupt):
        open_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()


def test_parents_and_experiments_made_at_the_same_time_are_one(tmp_path: Path, new_store) -> None:
    """Without the lock, as on a server, where two clients may look before either has made one."""
    uri = new_store(tmp_path)
    group = Group("run-one", "run", "2025-06-01T12:00:00+00:00", {"brats": ("a",)})
    barrier = Barrier(2)
    found: list[str] = []

    def open_group() -> None:
        from contextlib import nullcontext

        store = open_store(uri)
        store = Store(store.uri, store.client, nullcontext())
        looked = store.client.get_experiment_by_name

        def look(name: str) -> object:
            experiment = looked(name)
            if experiment is None:
                barrier.wait(10)
            return experiment

        store.client.get_experiment_by_name = look
        found.append(store.open_group(group, "brats"))

    threads = [Thread(target=open_group) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    store = open_store(uri)
    assert store.open_group(group, "brats") in found
    experiment = store.client.get_experiment_by_name("brats")
    assert len(store.client.search_runs([experiment.experiment_id])) == 1


def test_a_store_in_a_folder_that_is_closed_is_read(tmp_path: Path, new_store) -> None:
    uri = new_store(tmp_path / "shared")
    (tmp_path / "shared" / "mlruns").write_text("in the way")
    assert open_store(uri).load_results() == []
