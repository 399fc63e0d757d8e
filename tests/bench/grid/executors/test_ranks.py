"""A run on several devices ends with a sentence when one of its processes dies or fails."""

from __future__ import annotations

import time

import pytest

from bench.grid.executors import ranks
from bench.specs.run import Means, Place
from reports.records.run import Status, read_result
from tests.bench.run.ranks import processes


@pytest.fixture
def execute(make_run, tmp_path, monkeypatch):
    """Return a function that carries out a run by stand-ins of its two processes."""

    def run(first, other):
        for name, stand_in in (("LEAD", first), ("HELP", other)):
            monkeypatch.setattr(ranks, name, f"{processes.__name__}:{stand_in.__name__}")
        folder = tmp_path / "attempt"
        folder.mkdir()
        place = Place(folder, tmp_path / "cache", "cpu", Means(n_devices=2))
        ranks.execute_together(make_run(), place, lambda *message: None)
        return read_result(folder)

    return run


def test_a_process_that_is_killed_fails_the_run_though_the_first_one_hangs(execute, monkeypatch):
    monkeypatch.setattr(ranks, "GRACE_S", 0.5)
    started = time.monotonic()
    result = execute(processes.wait_for_long, processes.die)
    assert time.monotonic() - started < 50
    assert result.status is Status.FAILED
    assert result.reason == "process 2 of 2 on cpu was killed by SIGKILL (out of memory?)"


def test_the_first_process_may_be_the_one_that_is_killed(execute):
    result = execute(processes.die, processes.wait_for_nobody)
    assert result.reason == "process 1 of 2 on cpu was killed by SIGKILL (out of memory?)"


def test_what_another_process_lacks_is_the_end_of_the_run(execute, monkeypatch):
    monkeypatch.setattr(ranks, "GRACE_S", 0.5)
    result = execute(processes.wait_for_long, processes.lack_memory)
    assert result.status is Status.OOM
    assert result.reason == "process 2 of 2 on cpu: out of memory on cuda:1"
