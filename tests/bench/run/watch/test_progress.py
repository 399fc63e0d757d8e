"""How far a run is can be read by anybody, at any time."""

import os
import socket

import pytest

from bench.cost.phases import FIT, MEASURE, PREPARE, SCORE, VALIDATE, WRITE, Advance
from bench.run.watch import progress
from bench.run.watch.progress import (
    Recorder,
    describe_phase,
    describe_stand,
    forget_progress,
    read_progress,
)

UNITS = {PREPARE: 1, FIT: 20, VALIDATE: 4, WRITE: 1, SCORE: 3, MEASURE: 1}


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def told():
    return []


@pytest.fixture
def recorder(tmp_path, clock, told):
    recorder = Recorder(tmp_path, "cpu", lambda phase, stand: told.append((phase, stand)))
    recorder.clock.now = lambda: clock[0]
    return recorder


def begin(recorder, clock):
    clock[0] += 5
    recorder.expect(UNITS, 2)


def fit_batches(recorder, clock, epoch, n_batches, batch_s):
    for _ in range(n_batches):
        clock[0] += batch_s
        recorder.advance(Advance(FIT, epoch, 2, loss=0.5))


def test_the_time_left_is_that_of_all_phases(tmp_path, recorder, clock):
    assert read_progress(tmp_path).phase == PREPARE
    begin(recorder, clock)
    fit_batches(recorder, clock, 0, 10, 2.0)
    assert read_progress(tmp_path).left_s is None  # nothing was validated
    for done in (1, 2):
        clock[0] += 3
        recorder.advance(Advance(VALIDATE, done, 2))
    recorder.advance(Advance(FIT, 1, 2, 0, 0.4, 0.7))
    stand = read_progress(tmp_path)
    # 10 batches, 2 cases, as long for each of 3 cases of the score, twice both to measure
    assert stand.left_s == pytest.approx(10 * 2 + 2 * 3 + 3 * 3 + 2 * (2 + 3))
    assert (stand.phase, stand.done, stand.total) == (FIT, 1, 2)
    assert (stand.node, stand.pid) == (socket.gethostname(), os.getpid())
    assert (stand.loss, stand.val_dice, stand.samples_per_s) == (0.4, 0.7, 1.0)
    assert stand.memory_mib > 10


def test_a_phase_has_a_speed_of_its_own(tmp_path, recorder, clock):
    begin(recorder, clock)
    fit_batches(recorder, clock, 0, 20, 2.0)
    for done in (1, 2, 3, 4):
        clock[0] += 3
        recorder.advance(Advance(VALIDATE, done, 4))
    recorder.clock.tick(WRITE)
    recorder.begin(SCORE, 3)
    for done in (1, 2):
        clock[0] += 30
        recorder.advance(Advance(SCORE, done, 3))
    assert read_progress(tmp_path).left_s == pytest.approx(30 + 2 * (2 + 3))


def test_quick_steps_are_not_all_written_but_the_end_of_an_epoch_is(tmp_path, recorder, told):
    begin(recorder, [0.0])
    fit_batches(recorder, [0.0], 0, 10, 0.0)
    assert read_progress(tmp_path).phase == PREPARE
    recorder.advance(Advance(FIT, 1, 2, 0))
    assert read_progress(tmp_path).done == 1
    assert [phase for phase, _ in told] == [PREPARE, FIT]


def test_the_log_has_a_line_a_minute(recorder, clock, caplog):
    caplog.set_level("INFO")
    begin(recorder, clock)
    fit_batches(recorder, clock, 0, 20, 10.0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[-1].startswith("epoch 0/2, loss 0.5000, 0.2 samples/s, ETA unknown, ")
    assert lines[-1].endswith(" GiB")


@pytest.mark.parametrize(
    ("phase", "done", "total", "text"),
    [
        (PREPARE, 0, 0, "preparing"),
        (FIT, 3, 20, "epoch 3/20"),
        (VALIDATE, 1, 8, "validating 1/8"),
        (SCORE, 12, 73, "scoring 12/73"),
        (MEASURE, 0, 0, "measuring cost"),
    ],
)
def test_every_phase_has_its_words(recorder, phase, done, total, text):
    recorder.current = Advance(phase, done, total)
    stand = recorder.stand()
    assert describe_phase(stand) == text
    assert describe_stand(stand, 3725.0) == f"{text}, ETA 1:02:05"


@pytest.mark.parametrize("text", ["", "{", '{"phase": 1}'])
def test_a_damaged_file_is_no_progress(tmp_path, text):
    (tmp_path / progress.PROGRESS_FILE).write_text(text)
    assert read_progress(tmp_path) is None


def test_a_run_that_has_ended_leaves_no_progress(tmp_path, recorder):
    forget_progress(tmp_path)
    forget_progress(tmp_path)
    assert not list(tmp_path.iterdir())
