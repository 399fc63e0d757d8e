"""Commands that are killed at random moments: alone, and two at once on one folder and store."""

import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.runs import kill
from benchmarks.runs.kill import (
    RUN,
    Job,
    check_files,
    find_orphans,
    kill_often,
    snapshot_runs,
    start,
)
from datasets.phantoms.write import write_phantoms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]
N_KILLS = 5
CELLS = Job("run", (*RUN, "--seeds", "0,1"), snapshot_runs, ())  # two methods, two seeds


def read_log(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8")


def test_two_commands_that_start_together_and_are_killed_give_the_undisturbed_table(
    tmp_path: Path,
) -> None:
    write_phantoms("brats", tmp_path / "brats", 6, shape=(16, 32, 32))
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    assert start(CELLS, alone).wait() == 0, read_log(alone)
    expected = snapshot_runs(alone)

    commands = [start(CELLS, shared)]
    time.sleep(1)
    commands.append(start(CELLS, shared))
    rng = random.Random(0)
    kept: dict[Path, bytes] = {}
    for _ in range(N_KILLS):
        time.sleep(rng.uniform(0.2, 2.5))
        alive = [number for number in (0, 1) if commands[number].poll() is None]
        assert alive, "the grid is too small to be killed so often"
        victim = rng.choice(alive)
        commands[victim].send_signal(signal.SIGKILL)
        commands[victim].wait()
        commands[victim] = start(CELLS, shared)
    assert [command.wait(300) for command in commands] == [0, 0], read_log(shared)
    assert not find_orphans(shared)
    assert not check_files(shared, kept)
    assert len(kept) == 4
    assert snapshot_runs(shared) == expected  # and so one run of MLflow a cell
    assert not list((shared / "results").rglob("lock"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    scratch = tmp_path_factory.mktemp("kills")
    return scratch, kill.set_up(scratch)


@pytest.mark.parametrize("name", kill.SHARES)
def test_a_killed_command_loses_nothing_and_leaves_no_process(
    name: str, undisturbed: tuple[Path, dict], record_property
) -> None:
    """`python -m benchmarks.runs.kill` does it 200 times."""
    scratch, expected = undisturbed
    (job,) = [job for job in kill.list_jobs() if job.name == name]
    tally = kill_often(job, scratch / name, 1, *expected[name])
    record_property("kills", tally.kills)
    assert not tally.problems


def test_a_report_that_is_killed_while_it_draws_leaves_no_process(
    undisturbed: tuple[Path, dict],
) -> None:
    """With its fork server and workers at work."""
    folder = undisturbed[0] / "report"
    (job,) = [job for job in kill.list_jobs() if job.name == "report"]
    process = start(job, folder)
    deadline = time.monotonic() + 60
    while len(kill.list_processes(folder)) < 4:  # with the tracker of resources
        assert process.poll() is None, read_log(folder)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not find_orphans(folder)


def test_a_ui_that_is_killed_takes_its_server_with_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ui = Job("ui", ("-m", "bench", "ui", "--port", port), lambda folder: None, ())
    process = start(ui, tmp_path)
    deadline = time.monotonic() + 60
    while len(kill.list_processes(tmp_path)) < 2:
        assert process.poll() is None, read_log(tmp_path)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not find_orphans(tmp_path)


def test_ctrl_c_ends_with_its_exit_code_at_any_moment(tmp_path: Path) -> None:
    """Also before there is a grid: while the data are read and prepared."""
    write_phantoms("brats", tmp_path / "brats", 6, shape=(16, 32, 32))
    folder = tmp_path / "work"
    folder.mkdir()
    # a shell lets what it starts in the background ignore Ctrl-C, and these tests with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start(CELLS, folder)
    while not (folder / "results" / "cache").is_dir():
        assert process.poll() is None, read_log(folder)
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(60) == 130, read_log(folder)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in read_log(folder)
    assert not find_orphans(folder)
