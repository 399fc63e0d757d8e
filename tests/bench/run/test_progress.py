"""How far a run is can be read by anybody, at any time."""

import os
import socket

import pytest

from bench.run import progress
from bench.run.progress import forget_progress, read_progress, recording_progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_progress_is_passed_on_and_written_with_the_time_left(tmp_path, clock):
    passed = []
    record = recording_progress(tmp_path, lambda *told: passed.append(told))
    assert read_progress(tmp_path).phase == "start"
    record("fit", 0, 10)
    clock[0] += 6
    record("fit", 2, 10)
    stand = read_progress(tmp_path)
    assert (stand.phase, stand.done, stand.total, stand.left_s) == ("fit", 2, 10, 24.0)
    assert (stand.node, stand.pid) == (socket.gethostname(), os.getpid())
    assert passed == [("fit", 0, 10), ("fit", 2, 10)]


def test_a_phase_has_a_speed_of_its_own(tmp_path, clock):
    record = recording_progress(tmp_path, lambda *told: None)
    record("fit", 10, 10)
    clock[0] += 100
    record("score", 0, 4)
    clock[0] += 10
    record("score", 1, 4)
    assert read_progress(tmp_path).left_s == 30.0


def test_quick_steps_are_not_all_written_but_the_last_is(tmp_path, clock):
    record = recording_progress(tmp_path, lambda *told: None)
    for done in range(10):
        record("fit", done, 10)
    assert read_progress(tmp_path).done == 0
    record("fit", 10, 10)
    assert read_progress(tmp_path).done == 10


@pytest.mark.parametrize("text", ["", "{", '{"phase": 1}'])
def test_a_damaged_file_is_no_progress(tmp_path, text):
    (tmp_path / progress.PROGRESS_FILE).write_text(text)
    assert read_progress(tmp_path) is None


def test_a_run_that_has_ended_leaves_no_progress(tmp_path):
    recording_progress(tmp_path, lambda *told: None)
    forget_progress(tmp_path)
    forget_progress(tmp_path)
    assert not list(tmp_path.iterdir())
