"""A run, or a trial, that is cut off goes on from its checkpoint, bit for bit."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.grid.attempt import begin_attempt, end_attempt
from bench.run import execute
from bench.run.execute import execute_run
from bench.run.interruption import EXIT_INTERRUPTED, SIGNALS, Interrupted, interruptible
from bench.run.resume import file as files
from bench.run.resume.folder import CHECKPOINT_FILE, PREVIOUS_FILE, RESUMED_FILE
from bench.run.watch import progress
from bench.specs.protocol import override
from bench.specs.run import Means, MethodSpec, Place
from bench.tuning.trial import carry_out_trial
from reports.records.run import RunResult, Status

OFTEN_S = 1e-6  # a checkpoint after each step


@pytest.fixture
def spec(make_run):
    """A run of two epochs of four steps, with random numbers in training."""
    made = make_run(method="lora")
    method = MethodSpec("lora", (("dropout", "0.1"),))
    protocol = override(made.protocol, "data.patches_per_epoch=8")
    return replace(made, method=method, protocol=protocol)


@pytest.fixture
def begin(prepared, monkeypatch):
    """Return a function that carries out a run in a folder, until a signal comes."""
    monkeypatch.setattr(progress, "SEND_S", 0.0)

    def run(spec, folder: Path, stop_at=None, number=signal.SIGUSR1, every_s=OFTEN_S) -> RunResult:
        n_told: Counter[str] = Counter()

        def tell(phase: str, stand: object) -> None:
            n_told[phase] += 1
            if (phase, n_told[phase]) == stop_at:
                os.kill(os.getpid(), number)

        with interruptible():
            return execute_run(
                spec, Place(folder, prepared, "cpu", Means(checkpoint_s=every_s)), tell
            )

    return run


WHOLE: dict[str, RunResult] = {}


@pytest.fixture
def expected(spec, begin, tmp_path) -> RunResult:
    """The result of the undisturbed run, which is carried out once."""
    if not WHOLE:
        WHOLE["result"] = begin(spec, tmp_path / "whole")
    return WHOLE["result"]


def check_equal(found: RunResult, expected: RunResult) -> None:
    """Check what must not depend on an interruption."""
    for name in ("status", "curve", "best_epoch", "chosen_sha256", "cases", "split_hash"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.status is Status.DONE, found.traceback


@pytest.mark.parametrize(
    "stop_at",
    [
        ("fit", 3),
        pytest.param(("fit", 7), marks=pytest.mark.slow),
        ("validate", 1),
        pytest.param(("score", 2), marks=pytest.mark.slow),
    ],
    ids=lambda each: f"{each[0]}-{each[1]}",
)
def test_a_run_that_was_asked_to_end_goes_on_bit_for_bit(spec, begin, expected, tmp_path, stop_at):
    with pytest.raises(Interrupted) as ended:
        begin(spec, tmp_path / "cut", stop_at)
    assert ended.value.code == EXIT_INTERRUPTED
    assert (tmp_path / "cut" / CHECKPOINT_FILE).is_file()
    found = begin(spec, tmp_path / "cut")
    check_equal(found, expected)
    assert (expected.interruptions, found.interruptions) == (0, 1)
    assert not [*(tmp_path / "cut").glob("checkpoint*")]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_each_signal_writes_a_checkpoint_though_none_is_due(spec, begin, tmp_path, number):
    with pytest.raises(Interrupted):
        begin(spec, tmp_path, ("fit", 2), number, every_s=3600.0)
    found = begin(spec, tmp_path, every_s=3600.0)
    (line,) = (tmp_path / RESUMED_FILE).read_text().splitlines()
    assert json.loads(line)["step"] == 2
    assert found.interruptions == 1


@pytest.mark.slow
def test_a_validation_is_a_checkpoint_though_none_is_due(spec, begin, tmp_path, monkeypatch):
    written = count_writes(monkeypatch)
    begin(spec, tmp_path, every_s=3600.0)
    assert written == [4, 8]


def count_writes(monkeypatch) -> list[int]:
    """Return the numbers of the steps after which a checkpoint is written."""
    from bench.run.resume import keeper

    steps: list[int] = []
    write = keeper.write_checkpoint

    def record(folder, checkpoint):
        steps.append(checkpoint.header.position.n_steps)
        write(folder, checkpoint)

    monkeypatch.setattr(keeper, "write_checkpoint", record)
    return steps


def test_times_are_of_all_processes_and_the_lost_part_is_not_counted(spec, begin, tmp_path):
    with pytest.raises(Interrupted):
        begin(spec, tmp_path, ("fit", 7))
    header = read_header(tmp_path)
    before = {each["phase"]: each for each in header["spent"]["phases"]}
    assert before["fit"]["units"] == 6 or before["fit"]["units"] == 7
    found = begin(spec, tmp_path)
    times = {each.phase: each for each in found.cost.phases}
    assert times["fit"].units == 8  # batches, of which none counts twice
    assert times["prepare"].units == 2
    assert times["fit"].seconds > before["fit"]["seconds"]
    assert found.cost.fit_s > header["position"]["fit_s"] > 0
    assert found.provenance["wall_s"] > header["spent"]["wall_s"]
    assert found.cost.energy_j is None  # a CPU tells none
    assert found.cost.peak_memory_mib >= header["spent"]["peak_memory_mib"]


def read_header(folder: Path) -> dict:
    from safetensors import safe_open

    with safe_open(folder / CHECKPOINT_FILE, framework="pt") as opened:
        return json.loads(opened.metadata()["header"])


def test_energy_is_added_and_unknown_where_a_part_is(monkeypatch):
    from bench.cost.phases import PhaseClock
    from bench.run.resume.account import Account, Spent

    class Meter:
        def __init__(self, joules):
            self.joules = joules

        def read(self):
            return self.joules

    for earlier, own, expected in ((0.0, 5.0, 5.0), (2.0, 5.0, 7.0), (None, 5.0, None)):
        account = Account(PhaseClock(), "cpu")
        account.take_over(Spent(energy_j=earlier))
        account.energy = Meter(own)
        assert account.energy_j == expected
    account.energy = Meter(None)
    assert account.energy_j is None


def test_a_damaged_checkpoint_gives_way_to_the_one_before(spec, begin, expected, tmp_path, caplog):
    with pytest.raises(Interrupted):
        begin(spec, tmp_path / "cut", ("fit", 6))
    spoil(tmp_path / "cut" / CHECKPOINT_FILE)
    check_equal(begin(spec, tmp_path / "cut"), expected)
    assert "is damaged" in caplog.text
    assert "the run goes on from the one before" in caplog.text


@pytest.mark.slow
def test_without_another_checkpoint_the_run_begins_anew(spec, begin, expected, tmp_path, caplog):
    with pytest.raises(Interrupted):
        begin(spec, tmp_path / "cut", ("fit", 6))
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        spoil(tmp_path / "cut" / name)
    found = begin(spec, tmp_path / "cut")
    check_equal(found, expected)
    assert "the run begins anew" in caplog.text
    assert found.interruptions == 0


def spoil(file: Path) -> None:
    """Cut a file."""
    file.write_bytes(file.read_bytes()[:-9])


def change_rate(spec):
    return replace(spec, protocol=override(spec.protocol, "train.lr=0.003"))


def test_a_checkpoint_of_something_else_is_refused_by_name(spec, begin, tmp_path):
    with pytest.raises(Interrupted):
        begin(spec, tmp_path, ("fit", 3))
    found = begin(change_rate(spec), tmp_path)
    assert found.status is Status.FAILED
    words = "another spec: protocol.train.lr was 0.01 and is 0.003"
    assert f"checkpoint: {CHECKPOINT_FILE} is of {words} (" in found.reason
    assert "remove it from the run's folder to begin the run anew" in found.reason
    assert begin(spec, tmp_path).status is Status.DONE


@pytest.mark.slow
def test_a_disk_that_is_full_ends_no_training(spec, begin, tmp_path, monkeypatch, caplog):
    def refuse(*arguments):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(files, "save_file", refuse)
    found = begin(spec, tmp_path)
    assert found.status is Status.DONE
    assert "no checkpoint was written: " in caplog.text
    assert "No space left on device (make room on the disk" in caplog.text


def test_a_run_that_has_failed_is_repeated_from_its_checkpoint(
    spec, begin, expected, tmp_path, monkeypatch
):

    def fail(*arguments):
        raise RuntimeError("the node's disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(execute, "score_held_out", fail)
        first = begin(spec, begin_attempt(tmp_path / "run"))
    assert first.status is Status.FAILED
    end_attempt(tmp_path / "run")
    assert (tmp_path / "run" / CHECKPOINT_FILE).is_file()
    attempt = begin_attempt(tmp_path / "run")
    assert (attempt / CHECKPOINT_FILE).is_file()
    second = begin(spec, attempt)
    check_equal(second, expected)
    assert {each.phase: each.units for each in second.cost.phases}["fit"] == 8
    end_attempt(tmp_path / "run")
    assert not [*(tmp_path / "run").rglob("checkpoint*")]


@pytest.mark.slow
def test_two_cuts_from_one_checkpoint_count_as_two(spec, begin, expected, tmp_path):
    for _ in range(2):
        with pytest.raises(Interrupted):
            begin(spec, tmp_path / "cut", ("score", 1))
    found = begin(spec, tmp_path / "cut")
    check_equal(found, expected)
    assert found.interruptions == 2


def test_a_trial_goes_on_and_tells_its_validations_again(spec, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SEND_S", 0.0)

    def carry_out(folder: Path, stop_at: int | None = None):
        sent, n_told = [], []

        def send(*message: object) -> None:
            sent.append(message)
            if message[0] == "fit":
                n_told.append(message)
                if len(n_told) == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)

        with interruptible():
            carry_out_trial(spec, Place(folder, prepared, "cpu", Means(checkpoint_s=3600.0)), send)
        return sent

    def list_dices(sent):
        return [message[0] for message in sent if isinstance(message[0], tuple)]

    whole = carry_out(tmp_path / "whole")
    with pytest.raises(Interrupted):
        carry_out(tmp_path / "cut", 7)
    again = carry_out(tmp_path / "cut")
    assert list_dices(again) == list_dices(whole)
    assert len(list_dices(whole)) == 2
    assert again[-1][1]["dice"] == whole[-1][1]["dice"]
    assert again[-1][1]["params_tuned"] == whole[-1][1]["params_tuned"]
    known = [message[1] for message in again if isinstance(message[0], tuple)]
    assert all(each["params_tuned"] for each in known)
