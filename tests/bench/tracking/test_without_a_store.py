"""Stores that cannot be used, and what importing and logging must not do."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.tracking.connection import TrackingError, default_uri
from bench.tracking.reading import open_to_read
from bench.tracking.store import open_store
from tests.bench.tracking.made_result import CASES, DONE

ROOT = Path(__file__).resolve().parents[3]


def test_an_unreachable_server_is_one_sentence_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    script = (
        "from bench.tracking.connection import TrackingError\n"
        "from bench.tracking.store import open_store\n"
        "try: open_store()\n"
        "except TrackingError as e: print(e)"
    )
    started = time.monotonic()
    done = run_python(script, MLFLOW_TRACKING_URI=uri)
    assert time.monotonic() - started < 20  # most of it is the import of MLflow
    assert done.stdout.startswith(f"store {uri}: must be reachable, got ")
    assert len(done.stdout.splitlines()) == 1


def test_a_database_with_some_of_the_tables_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("create table runs (artifact_uri text)")
    reader = open_to_read("nothing")
    for read in (reader.load_results, reader.list_datasets):
        with pytest.raises(TrackingError, match=r"^store .*: must be reachable, got Operational"):
            read()


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("dear diary, " * 100)
    with pytest.raises(
        TrackingError,
        match=r"store sqlite:////.*/mlflow\.db: must be reachable, got.*not a database",
    ):
        open_store(f"sqlite:///{tmp_path}/mlflow.db")


def test_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert default_uri() == "http://somewhere:5000"


def test_nothing_is_imported_printed_or_sent_without_need(tmp_path: Path) -> None:
    script = """
import socket, sys
from pathlib import Path

def refuse(*_): raise AssertionError("a network call")
socket.socket.connect = socket.getaddrinfo = refuse

from bench.tracking.store import open_store
from reports.records.run import RunResult
assert "mlflow" not in sys.modules
store = open_store()
result = RunResult.from_json(Path("result.json").read_text())
store.log_result(result, Path("."))
assert store.load_results() == [result]
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None
"""
    replace(DONE, cases=CASES[:3]).write(tmp_path)
    done = run_python(script, tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert {file.name for file in tmp_path.iterdir()} == {"result.json", "mlflow.db", "mlruns"}


def run_python(
    script: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as a user would: without the variables by which MLflow recognises a test."""
    hidden = ("CI", "PYTEST_CURRENT_TEST", "MLFLOW_TRACKING_URI")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
