"""A command, or one of its runs alone, that is asked to end: a checkpoint, and nothing is lost."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import psutil
import pytest

from bench.run.interruption import EXIT_INTERRUPTED
from bench.run.resume.folder import CHECKPOINT_FILE
from bench.specs.run import RUNS
from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult
from tests.bench.grid.resume.commands import PATIENCE_S, read_one, start, wait_for_training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]
GRID = shlex.split(
    "--methods lora[dropout=0.1] --preset demo --epochs 40 --set data.patches_per_epoch=8"
    " --set data.patch=8,32,32 --set train.val_every=20 --jobs 1 --data-root ../brats"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with data."""
    folder = tmp_path_factory.mktemp("signals")
    write_phantoms("brats", folder / "brats", 6, shape=(16, 32, 32))
    return folder


@pytest.fixture(scope="module")
def expected(place) -> RunResult:
    command = start(place / "whole", GRID)
    assert command.wait(PATIENCE_S) == 0, (place / "whole" / "log").read_text()
    return read_one(place / "whole")


def check_equal(found: RunResult, expected: RunResult) -> None:
    for name in ("status", "curve", "best_epoch", "chosen_sha256", "cases"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (expected.interruptions, found.interruptions) == (0, 1)


def test_the_same_command_goes_on(place, expected):
    folder = place / "command"
    command = start(folder, GRID)
    child = wait_for_training(folder, command, 5)
    command.send_signal(signal.SIGUSR1)
    code = command.wait(PATIENCE_S)
    assert code == EXIT_INTERRUPTED, (folder / "log").read_text()
    assert not psutil.pid_exists(child)
    attempt = next((folder / "results" / RUNS).glob("*/attempt"))
    assert (attempt / CHECKPOINT_FILE).is_file()
    assert start(folder, GRID).wait(PATIENCE_S) == 0, (folder / "log").read_text()
    check_equal(read_one(folder), expected)


def test_a_run_that_alone_is_asked_to_end_goes_on_in_the_same_command(place, expected):
    folder = place / "run"
    command = start(folder, GRID)
    os.kill(wait_for_training(folder, command, 5), signal.SIGTERM)
    assert command.wait(PATIENCE_S) == 0, (folder / "log").read_text()
    check_equal(read_one(folder), expected)
