"""Attempts: the results before stay until the attempt has ended; every step can be cut off."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from bench.grid.attempt import ATTEMPT, PREVIOUS, begin_attempt, end_attempt
from bench.run.firewall import READS_FILE, HeldOut, count_reads, write_selection
from reports.records.run import RESULT_FILE, RunResult, Status, read_result


def fill(folder: Path, status: Status, mark: str, *, reads: int = 0) -> None:
    """Leave what an attempt leaves; ``mark`` tells the attempts apart."""
    for number in range(reads):
        write_selection(folder, "r", f"{mark}{number}", 0, 0.5)
        HeldOut(folder, list).open(f"{mark}{number}")
    (folder / "delta.safetensors").write_text(mark)
    RunResult(
        run_id="r", status=status, reason="", method="lora", settings={}, label=mark,
        dataset="brats", backbone="b", weights="none", fold=0, seed=0, protocol_id="p",
        protocol={}, synthetic=True,
    ).write(folder)  # fmt: skip


def label_in(folder: Path) -> str:
    result = read_result(folder)
    assert result is not None
    return result.label


def make_done(folder: Path, mark: str = "first", status: Status = Status.DONE) -> None:
    fill(begin_attempt(folder), status, mark, reads=1)
    end_attempt(folder)


def test_an_attempt_that_has_ended_becomes_the_run(tmp_path):
    make_done(tmp_path)
    assert label_in(tmp_path) == "first"
    assert (tmp_path / "delta.safetensors").read_text() == "first"
    assert not (tmp_path / ATTEMPT).exists()
    assert not (tmp_path / PREVIOUS).exists()


def test_the_last_result_stays_until_the_next_attempt_has_ended(tmp_path):
    make_done(tmp_path)
    attempt = begin_attempt(tmp_path)
    (attempt / "delta.safetensors").write_text("half")
    end_attempt(tmp_path)  # it has not ended: nothing happens
    assert label_in(tmp_path) == "first"
    assert (tmp_path / "delta.safetensors").read_text() == "first"


def test_what_was_done_is_kept_when_it_is_repeated(tmp_path):
    make_done(tmp_path)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "file").write_text("mine")
    fill(begin_attempt(tmp_path), Status.FAILED, "second")
    end_attempt(tmp_path)
    assert label_in(tmp_path) == "second"
    assert label_in(tmp_path / PREVIOUS) == "first"
    assert (tmp_path / PREVIOUS / "delta.safetensors").read_text() == "first"
    assert (tmp_path / PREVIOUS / "extra" / "file").read_text() == "mine"

    fill(begin_attempt(tmp_path), Status.FAILED, "third")
    end_attempt(tmp_path)
    assert label_in(tmp_path) == "third"
    assert label_in(tmp_path / PREVIOUS) == "first"  # a failure does not push out what was done


def test_a_failed_result_leaves_nothing_behind(tmp_path):
    make_done(tmp_path, "first", Status.FAILED)
    attempt = begin_attempt(tmp_path)
    fill(attempt, Status.SKIPPED, "second")
    (attempt / "delta.safetensors").unlink()
    end_attempt(tmp_path)
    assert label_in(tmp_path) == "second"
    assert {file.name for file in tmp_path.iterdir()} == {RESULT_FILE, READS_FILE}


def test_test_reads_are_counted_over_attempts_however_they_end(tmp_path):
    make_done(tmp_path)
    cut_off = begin_attempt(tmp_path)
    write_selection(cut_off, "r", "second", 0, 0.5)
    HeldOut(cut_off, list).open("second")  # and then the power goes
    assert count_reads(begin_attempt(tmp_path)) == 2
    assert count_reads(begin_attempt(tmp_path)) == 2  # another attempt that did not come as far
    fill(begin_attempt(tmp_path), Status.DONE, "third", reads=1)
    end_attempt(tmp_path)
    assert count_reads(tmp_path) == 3


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("n_moves", range(8))
def test_ending_can_be_cut_off_anywhere(tmp_path, monkeypatch, n_moves):
    make_done(tmp_path)
    fill(begin_attempt(tmp_path), Status.DONE, "second", reads=1)
    original, count = Path.replace, 0

    def replace(self, target):
        nonlocal count
        if count == n_moves:
            raise PowerCut
        count += 1
        return original(self, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", replace)
        with suppress(PowerCut):  # beyond the last move there is nothing to cut off
            end_attempt(tmp_path)
    assert (count == n_moves) or n_moves > 6
    end_attempt(tmp_path)
    assert label_in(tmp_path) == "second"
    assert (tmp_path / "delta.safetensors").read_text() == "second"
    assert label_in(tmp_path / PREVIOUS) == "first"
    assert (tmp_path / PREVIOUS / "delta.safetensors").read_text() == "first"
    assert count_reads(tmp_path) == 2
    assert not (tmp_path / ATTEMPT).exists()


@pytest.mark.parametrize("text", ["", "{", '{"status": "done", "schema_version": 1}'])
def test_an_unreadable_old_result_does_not_stand_in_the_way(tmp_path, text):
    (tmp_path / RESULT_FILE).write_text(text)
    fill(begin_attempt(tmp_path), Status.DONE, "second")
    end_attempt(tmp_path)
    assert label_in(tmp_path) == "second"
    assert (tmp_path / PREVIOUS).is_dir() == ("done" in text)
