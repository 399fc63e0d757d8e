"""The command with several devices: processes that share a run, cut off and killed."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import psutil
import pytest

from bench.cli.terminal import EXIT_FAILED, EXIT_INTERRUPTED
from bench.run.resume.folder import CHECKPOINT_FILE
from bench.specs.run import RUNS
from datasets.phantoms.write import write_phantoms
from reports.records.run import RunResult, Status
from tests.bench.grid.resume.commands import PATIENCE_S, read_one, start, wait_for_training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]
ONE = shlex.split(
    "--methods lora[dropout=0.1] --preset demo --epochs 20 --set data.patches_per_epoch=8"
    " --set data.patch=8,32,32 --set train.val_every=10 --set train.batch=2 --jobs 1"
    " --device cpu --data-root ../brats"
)
TWO = [*ONE, "--devices", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with data."""
    folder = tmp_path_factory.mktemp("devices")
    write_phantoms("brats", folder / "brats", 6, shape=(16, 32, 32))
    return folder


@pytest.fixture(scope="module")
def shared(place) -> RunResult:
    """The result of two devices."""
    return carry_out(place / "two", TWO)


def carry_out(folder: Path, grid: list[str]) -> RunResult:
    assert start(folder, grid).wait(PATIENCE_S) == 0, (folder / "log").read_text()
    return read_one(folder)


def test_two_devices_give_what_one_gives(place, shared):
    alone = carry_out(place / "one", ONE)
    assert (alone.provenance["n_devices"], shared.provenance["n_devices"]) == (1, 2)
    assert (alone.run_id, alone.protocol_id) == (shared.run_id, shared.protocol_id)
    for one, two in zip(alone.curve, shared.curve, strict=True):
        assert two.train_loss == pytest.approx(one.train_loss, abs=1e-5)
        assert two.val_dice == pytest.approx(one.val_dice, abs=1e-3)
    for one, two in zip(alone.cases, shared.cases, strict=True):
        assert (one.case, one.region) == (two.case, two.region)
        assert two.dice == pytest.approx(one.dice, abs=1e-3, nan_ok=True)
    assert alone.test_reads == shared.test_reads == 1
    assert alone.cost.compute == shared.cost.compute


def test_after_ctrl_c_the_same_command_goes_on_bit_for_bit(place, shared):
    folder = place / "interrupted"
    command = start(folder, TWO)
    leader = wait_for_training(folder, command, 3)
    others = list_processes(command.pid)
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE_S) == EXIT_INTERRUPTED, (folder / "log").read_text()
    assert leader in others
    assert not list_living(others)
    attempt = next((folder / "results" / RUNS).glob("*/attempt"))
    assert (attempt / CHECKPOINT_FILE).is_file()
    found = carry_out(folder, TWO)
    assert found.interruptions == 1
    for name in ("status", "curve", "best_epoch", "chosen_sha256", "cases"):
        assert getattr(found, name) == getattr(shared, name), name


def test_a_killed_process_fails_the_run_and_leaves_none_behind(place):
    folder = place / "killed"
    command = start(folder, TWO)
    leader = wait_for_training(folder, command, 2)
    others = list_processes(command.pid)
    siblings = psutil.Process(leader).parent().children()
    (helper,) = [each.pid for each in siblings if each.pid != leader]
    os.kill(helper, signal.SIGKILL)
    assert command.wait(PATIENCE_S) == EXIT_FAILED, (folder / "log").read_text()
    result = read_one(folder)
    assert result.status is Status.FAILED
    assert result.reason == "process 2 of 2 on cpu was killed by SIGKILL (out of memory?)"
    assert not list_living(others)


def list_processes(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    return [each.pid for each in psutil.Process(pid).children(recursive=True)]


def list_living(pids: list[int]) -> list[int]:
    living = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(living, 10)
    return [each.pid for each in alive]
