"""Commands that share a folder take turns at its runs; runs that take too long are ended."""

import threading
import time
from math import inf
from pathlib import Path

import pytest

from bench.grid import children, runner
from bench.grid.attempt import ATTEMPT
from bench.grid.executors.ledger import LOCK
from bench.grid.runner import Event, promote_finished_attempts, run_grid
from bench.grid.slots import Slots
from bench.specs.run import RunSpec, run_folder
from datasets import processes
from datasets.locks import try_lock
from reports.records.run import Status, read_result
from tests.bench.grid import workers
from tests.bench.grid.workers import make_result, make_spec

FIRST, SECOND = make_spec("lora"), make_spec("adaptformer")


@pytest.fixture
def carry_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that carries out runs with one of `workers` and returns the events."""
    monkeypatch.setattr(children, "PRELOADED", [])
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    monkeypatch.setattr(runner, "POLL_S", 0.05)

    def run(
        *specs: RunSpec, worker: str = "end_well", timeout_s: float = inf, force: bool = False
    ) -> list[Event]:
        def start(function: str, *arguments: object, **words: object) -> children.Child:
            assert function == "bench.run.execute:execute_run"
            return children.start_child(f"{workers.__name__}:{worker}", *arguments, **words)

        monkeypatch.setattr(runner, "start_child", start)
        events: list[Event] = []
        run_grid(specs, tmp_path, Slots(("cpu",), timeout_s=timeout_s), events.append, force=force)
        return events

    return run


def read_endings(events: list[Event]) -> dict[str, Status]:
    return {event.spec.run_id: event.result.status for event in events if event.result}


def test_a_run_that_takes_too_long_is_killed_and_the_others_go_on(carry_out, tmp_path) -> None:
    """The first ignores SIGTERM."""
    events = carry_out(SECOND, FIRST, worker="never_end_adaptformer", timeout_s=6)
    expected = {SECOND.run_id: Status.TIMEOUT, FIRST.run_id: Status.DONE}
    assert read_endings(events) == expected
    found = read_result(run_folder(tmp_path, SECOND))
    assert found.status is Status.TIMEOUT
    assert found.reason == "the run has not ended within 6 s (--timeout)"
    _, to_do = runner.split_finished([SECOND, FIRST], tmp_path)
    assert to_do == [SECOND]  # the next command may give it more time
    assert not list(tmp_path.rglob(LOCK))
    assert not (run_folder(tmp_path, SECOND) / ATTEMPT).exists()


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED])
@pytest.mark.parametrize("force", [False, True])
def test_a_run_of_another_command_is_waited_for_and_taken_over(
    status: Status, force: bool, carry_out, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path, FIRST)
    make_result(FIRST, Status.FAILED, "earlier").write(folder)
    lock = try_lock(folder / LOCK)
    assert lock is not None

    def end_other() -> None:
        time.sleep(1)
        make_result(FIRST, status, "of the other command").write(folder)
        lock.release()

    other = threading.Thread(target=end_other)
    other.start()
    events = carry_out(FIRST, SECOND, force=force)
    other.join()
    results = {event.spec: event.result for event in events if event.result}
    assert results[FIRST].reason == "of the other command"
    assert results[FIRST].status is status
    assert results[SECOND].status is Status.DONE
    assert [event.phase for event in events if event.spec == FIRST] == ["wait", "start", "end"]


def test_a_run_whose_other_command_was_interrupted_is_carried_out(carry_out, tmp_path) -> None:
    lock = try_lock(run_folder(tmp_path, FIRST) / LOCK)
    assert lock is not None
    other = threading.Timer(0.5, lock.release)
    other.start()
    assert read_endings(carry_out(FIRST)) == {FIRST.run_id: Status.DONE}
    other.join()


def test_results_from_before_are_repeated_by_force_alone(carry_out, tmp_path) -> None:
    make_result(FIRST, Status.DONE, "earlier").write(run_folder(tmp_path, FIRST))
    for force, reason in ((False, "earlier"), (True, "")):
        (result,) = [event.result for event in carry_out(FIRST, force=force) if event.result]
        assert result.reason == reason


def test_an_attempt_of_another_command_is_not_touched(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, FIRST)
    make_result(FIRST, Status.DONE).write(folder / ATTEMPT)
    lock = try_lock(folder / LOCK)
    assert lock is not None
    promote_finished_attempts([FIRST], tmp_path)
    assert read_result(folder) is None
    lock.release()
    promote_finished_attempts([FIRST], tmp_path)
    assert read_result(folder) is not None


def test_without_locks_a_failure_does_not_take_the_place_of_a_done_run(carry_out, tmp_path) -> None:
    events = carry_out(FIRST, worker="fail_beside_another")
    assert read_endings(events) == {FIRST.run_id: Status.DONE}
    assert read_result(run_folder(tmp_path, FIRST)).reason == "of the other command"
    assert not (run_folder(tmp_path, FIRST) / ATTEMPT).exists()
