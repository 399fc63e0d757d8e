"""Libraries that catch everything while they are imported do not keep a command from ending."""

import os
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from bench.grid import runner
from bench.grid.executors.follow import Dispatch
from bench.grid.executors.ledger import LOCK
from bench.grid.runner import run_grid
from bench.grid.slots import Slots
from bench.run.interruption import interruptible, is_asked, list_command_signals
from bench.specs.run import run_folder
from datasets.locks import try_lock
from tests.bench.grid.executors.conftest import FAST, FakeQueue
from tests.bench.grid.executors.dispatching import make_specs, never
from tests.bench.grid.workers import make_spec

MOST_LOOKS = 3  # of a loop that should have ended


def swallow(number: signal.Signals) -> None:
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), number)
        time.sleep(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_grid_ends(number, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()

    def look(connections: object, patience_s: float) -> list[object]:
        assert next(looks) < MOST_LOOKS
        return []

    monkeypatch.setattr(runner, "wait", look)
    spec = make_spec("lora")
    lock = try_lock(run_folder(tmp_path, spec) / LOCK)  # so that the run is waited for
    assert lock is not None
    with interruptible(KeyboardInterrupt, list_command_signals()):
        with pytest.raises(KeyboardInterrupt):
            run_grid([spec], tmp_path, Slots(("cpu",)), lambda event: swallow(number))
        assert is_asked() == (number is signal.SIGTERM)  # which has an exit code of its own
    assert not is_asked()


def test_a_dispatch_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, looks = FakeQueue(tmp_path), count()
    find = queue.list_jobs

    def look(names: object) -> list[object]:
        assert next(looks) < MOST_LOOKS
        return find(names)

    monkeypatch.setattr(queue, "list_jobs", look)
    changes = iter([signal.SIGINT])
    dispatch = Dispatch(queue, tmp_path, None, lambda change: swallow_next(changes), FAST)
    with interruptible(KeyboardInterrupt, list_command_signals()):
        dispatch.start(make_specs(tmp_path), never)
        with pytest.raises(KeyboardInterrupt):
            dispatch.follow()


def swallow_next(numbers: object) -> None:
    for number in numbers:
        swallow(number)


def test_ctrl_c_that_the_shell_has_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert signal.SIGINT not in list_command_signals()
        signal.signal(signal.SIGINT, before)
        assert signal.SIGINT in list_command_signals()
    finally:
        signal.signal(signal.SIGINT, before)
