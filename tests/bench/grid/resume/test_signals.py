"""A command, or one of its runs alone, that is asked to end: a checkpoint, and nothing is lost."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.run.interruption import EXIT_INTERRUPTED
from bench.run.resume.folder import CHECKPOINT_FILE
from bench.specs.run import RUNS
from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult, read_result

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]
ROOT = Path(__file__).resolve().parents[4]
GRID = shlex.split(
    "--methods lora[dropout=0.1] --preset demo --epochs 40 --set data.patches_per_epoch=8"
    " --set data.patch=8,32,32 --set train.val_every=20 --jobs 1 --data-root ../brats"
)
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with data."""
    folder = tmp_path_factory.mktemp("signals")
    write_phantoms("brats", folder / "brats", 6, shape=(16, 32, 32))
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    own["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", "run", *GRID],
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


@pytest.fixture(scope="module")
def expected(place) -> RunResult:
    command = start(place / "whole")
    assert command.wait(PATIENCE_S) == 0, (place / "whole" / "log").read_text()
    return read_one(place / "whole")


def check_equal(found: RunResult, expected: RunResult) -> None:
    for name in ("status", "curve", "best_epoch", "chosen_sha256", "cases"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (expected.interruptions, found.interruptions) == (0, 1)


def test_the_same_command_goes_on(place, expected):
    folder = place / "command"
    command = start(folder)
    child = wait_for_training(folder, command, 5)
    command.send_signal(signal.SIGUSR1)
    code = command.wait(PATIENCE_S)
    assert code == EXIT_INTERRUPTED, (folder / "log").read_text()
    assert not psutil.pid_exists(child)
    attempt = next((folder / "results" / RUNS).glob("*/attempt"))
    assert (attempt / CHECKPOINT_FILE).is_file()
    assert start(folder).wait(PATIENCE_S) == 0, (folder / "log").read_text()
    check_equal(read_one(folder), expected)


def test_a_run_that_alone_is_asked_to_end_goes_on_in_the_same_command(place, expected):
    folder = place / "run"
    command = start(folder)
    os.kill(wait_for_training(folder, command, 5), signal.SIGTERM)
    assert command.wait(PATIENCE_S) == 0, (folder / "log").read_text()
    check_equal(read_one(folder), expected)
