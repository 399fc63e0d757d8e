"""The state of a run is what its files tell, whoever works on it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.cost.phases import FIT, Advance
from bench.grid import status
from bench.grid.attempt import begin_attempt
from bench.grid.executors.ledger import Sign, Submission, write_sign, write_submission
from bench.grid.status import read_state, read_states
from bench.run.watch.progress import Recorder, format_time
from bench.specs.run import RUNS
from reports.records.run import RunResult, Status

RESULT = RunResult(
    run_id="r", status=Status.DONE, reason="", method="lora", settings={}, label="LoRA",
    dataset="brats", backbone="b", weights="none", fold=0, seed=0, protocol_id="p",
    protocol={}, synthetic=True,
)  # fmt: skip
JOB = Submission("medtuning-x", 3, "12_3")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / RUNS / "r"
    folder.mkdir(parents=True)
    return folder


def begin(folder, *, epoch=0):
    recorder = Recorder(begin_attempt(folder), "cpu", lambda *told: None)
    if epoch:
        recorder.advance(Advance(FIT, epoch, 20))


def end_process():
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    return done.pid


def test_runs_that_were_asked_for_and_have_no_folder_are_to_do(folder):
    out = folder.parents[1]
    states = read_states(out, ["asked", "r"])
    assert [(each.run_id, each.state) for each in states] == [("asked", "to do"), ("r", "to do")]


@pytest.mark.parametrize("state", [Status.DONE, Status.FAILED, Status.DIVERGED, Status.OOM])
def test_a_run_that_has_ended_has_its_status_and_its_reason(folder, state):
    reason = "" if state is Status.DONE else "no room"
    replace(RESULT, status=state, reason=reason).write(folder)
    found = read_state(folder)
    assert (found.state, found.detail) == (state.value, reason)


def test_a_run_that_goes_on_has_its_epoch_its_node_and_the_time_left(folder, monkeypatch):
    begin(folder, epoch=3)
    found = read_state(folder)
    assert found.state == "running"
    assert found.detail.startswith(f"epoch 3/20 on {os.uname().nodename}")


def test_a_repetition_that_goes_on_hides_the_result_before(folder):
    replace(RESULT, status=Status.FAILED, reason="x").write(folder)
    begin(folder)
    assert read_state(folder).state == "running"


def test_a_run_whose_process_has_died_is_silent(folder, monkeypatch):
    pid = end_process()
    monkeypatch.setattr("bench.run.watch.progress.os.getpid", lambda: pid)
    begin(folder, epoch=3)
    assert read_state(folder).state == "silent"


def test_a_run_on_another_machine_is_silent_after_a_while(folder, monkeypatch):
    monkeypatch.setattr("bench.run.watch.progress.socket.gethostname", lambda: "gpu07")
    begin(folder, epoch=3)
    monkeypatch.setattr(status.socket, "gethostname", lambda: "login")
    gone = folder / "attempt" / "checkpoint"  # a file that is replaced at this moment
    gone.symlink_to("nowhere")
    assert read_state(folder).detail.startswith("epoch 3/20 on gpu07")
    gone.unlink()
    for file in (folder / "attempt").iterdir():
        os.utime(file, (0, 0))
    assert read_state(folder).state == "silent"


def test_a_job_that_has_not_begun_is_queued(folder):
    write_submission(folder, replace(JOB, past=("11_3",)))
    found = read_state(folder)
    assert (found.state, found.detail) == ("queued", "job 12_3, after 1 that ended early")


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_job_that_has_ended_leaves_its_result(folder, is_given_up):
    write_submission(folder, replace(JOB, is_given_up=is_given_up))
    if not is_given_up:
        write_sign(folder, Sign(JOB.round, "12_3", "n", 1, "", ended=True))
    replace(RESULT, status=Status.FAILED, reason="job 12_3 was cancelled").write(folder)
    assert read_state(folder).detail == "job 12_3 was cancelled"


def test_a_damaged_result_is_said_and_stops_no_other(folder):
    (folder / "result.json").write_text("{")
    assert read_state(folder).state == "damaged"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (90000, "25:00:00")]
)
def test_times_are_hours_minutes_seconds(seconds, text):
    assert format_time(seconds) == text
