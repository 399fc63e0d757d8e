"""A job works only in the folder that names it, and asks for a next one if nobody follows."""

import os
from dataclasses import replace

import pytest

from bench.grid.executors import job as jobs
from bench.grid.executors import ledger
from bench.grid.executors.follow import BEAT
from bench.grid.executors.job import JobSpec, is_followed, work_in
from bench.run.interruption import EXIT_INTERRUPTED

OWN = ledger.Submission(name="medtuning-a", index=3, job_id="7_3")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that job 7_3, which this process is, has."""
    folder = tmp_path / "runs" / "r"
    ledger.write_spec(folder, JobSpec(tmp_path, device="cpu"))
    ledger.write_submission(folder, OWN)
    (tmp_path / ledger.JOBS).mkdir()
    monkeypatch.setattr(jobs, "find_job_id", lambda: "7_3")
    monkeypatch.delenv("SLURM_JOB_NAME", raising=False)
    return folder


@pytest.fixture
def requeued(monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "_requeue", asked.append)
    return asked


def work(folder, compute=lambda folder, spec, device: ""):
    done = []

    def record(*arguments):
        done.append(arguments)
        return compute(*arguments)

    work_in(folder, JobSpec, record)
    return done


def test_a_job_signs_when_it_begins_and_when_it_has_ended(folder):
    signs = []

    def look(folder, spec, device):
        signs.append(ledger.read_sign(folder, OWN))
        return "no GPU"

    ((where, _, device),) = work(folder, look)
    assert (where, device) == (folder, "cpu")
    assert (signs[0].job_id, signs[0].pid, signs[0].ended) == ("7_3", os.getpid(), False)
    last = ledger.read_sign(folder, OWN)
    assert (last.ended, last.problem) == (True, "no GPU")
    assert not (folder / ledger.LOCK).exists()


def test_a_job_that_another_has_replaced_does_nothing(folder):
    ledger.write_submission(folder, replace(OWN, job_id="8_0"))
    assert work(folder) == []
    assert not (folder / ledger.SIGN_FILE).exists()


@pytest.mark.parametrize(("name", "works"), [("medtuning-a", True), ("medtuning-b", False)])
def test_a_job_whose_number_is_not_known_yet_is_known_by_its_array(
    folder, monkeypatch, name, works
):
    ledger.write_submission(folder, replace(OWN, job_id=""))
    monkeypatch.setenv("SLURM_JOB_NAME", name)
    assert bool(work(folder)) is works


def test_what_has_ended_is_not_done_again(folder):
    work(folder)
    assert work(folder) == []


@pytest.mark.parametrize("follows", [True, False])
def test_an_interrupted_job_is_requeued_if_nobody_follows(folder, requeued, follows):
    beat = folder.parents[1] / ledger.JOBS / BEAT
    if follows:
        beat.touch()

    def interrupted(folder, spec, device):
        raise SystemExit(EXIT_INTERRUPTED)

    with pytest.raises(SystemExit):
        work(folder, interrupted)
    assert requeued == ([] if follows else ["7_3"])
    assert not ledger.read_sign(folder, OWN).ended


def test_a_command_that_was_silent_for_long_follows_no_more(tmp_path):
    assert not is_followed(tmp_path)
    (tmp_path / BEAT).touch()
    assert is_followed(tmp_path)
    os.utime(tmp_path / BEAT, (0, 0))
    assert not is_followed(tmp_path)


def test_an_error_leaves_the_job_unended(folder, requeued):
    def fail(folder, spec, device):
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        work(folder, fail)
    assert not ledger.read_sign(folder, OWN).ended
    assert requeued == []
