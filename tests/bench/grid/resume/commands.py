"""Commands that are started in a folder, and looked at from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.specs.run import RUNS
from reports.records.run import RunResult, read_result

ROOT = Path(__file__).resolve().parents[4]
PATIENCE_S = 240.0


def start(folder: Path, grid: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    own["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", "run", *grid],
            cwd=folder,
            env=os.environ | own,
            stdout=log,
            stderr=log,
        )


def wait_for_training(folder: Path, command: subprocess.Popen[bytes], epoch: int) -> int:
    """Wait until a run has come to an epoch; return the id of its process."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert command.poll() is None, (folder / "log").read_text()
        for file in (folder / "results" / RUNS).glob("*/attempt/progress.json"):
            stand = json.loads(file.read_text())
            if stand["phase"] == "fit" and stand["done"] >= epoch:
                return int(stand["pid"])
        time.sleep(0.02)
    raise AssertionError((folder / "log").read_text())


def read_one(folder: Path) -> RunResult:
    (run,) = (folder / "results" / RUNS).iterdir()
    result = read_result(run)
    assert result is not None
    return result
