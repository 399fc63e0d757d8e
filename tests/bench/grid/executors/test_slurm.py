"""What Slurm's commands print, and what is missing, in one sentence."""

import subprocess

import pytest

from bench.grid.executors import slurm
from bench.grid.executors.options import SlurmOptions, read_slurm
from bench.grid.executors.queue import ENDED, QUEUED, RUNNING, QueueAwayError, QueueError
from bench.specs.protocol import SpecError

LISTED = """\
7|0|8|medtuning-a|RUNNING|gpu07|None
7|1|9|medtuning-a|PENDING||JobArrayTaskLimit
7|2|10|medtuning-a|TIMEOUT|gpu07|TimeLimit
11|N/A|11|medtuning-b|COMPLETING|gpu08|None
12|0|12|medtuning-c|PENDING||launch failed requeued held
"""


def answer(monkeypatch, stdout="", stderr="", code=0):
    calls = []

    def run(arguments, **options):
        calls.append(arguments)
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)

    monkeypatch.setattr(slurm.subprocess, "run", run)
    return calls


def make_queue(tmp_path):
    return slurm.SlurmQueue(tmp_path, SlurmOptions(), print)


def test_jobs_are_listed_as_squeue_prints_them(monkeypatch, tmp_path):
    calls = answer(monkeypatch, LISTED)
    jobs = make_queue(tmp_path).list_jobs({"medtuning-b", "medtuning-a"})
    assert "--name=medtuning-a,medtuning-b" in calls[0]
    assert [(job.id, job.index, job.phase) for job in jobs] == [
        ("7_0", 0, RUNNING),
        ("7_1", 1, QUEUED),
        ("7_2", 2, ENDED),
        ("11", 0, RUNNING),
        ("12_0", 0, QUEUED),
    ]
    assert jobs[0].node == "gpu07"
    assert jobs[2].word == "TIMEOUT"
    assert jobs[4].reason == "launch failed requeued held"


def test_a_controller_that_is_away_is_no_answer(monkeypatch, tmp_path):
    words = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    answer(monkeypatch, stderr=words, code=1)
    with pytest.raises(QueueAwayError, match="Slurm does not answer: slurm_load_jobs"):
        make_queue(tmp_path).list_jobs({"a"})


def test_a_command_that_hangs_is_no_answer(monkeypatch, tmp_path):
    def hang(arguments, **options):
        raise subprocess.TimeoutExpired(arguments, 60)

    monkeypatch.setattr(slurm.subprocess, "run", hang)
    with pytest.raises(QueueAwayError, match="squeue did not answer within 60 s"):
        make_queue(tmp_path).list_jobs({"a"})


def test_slurms_own_words_are_one_line(monkeypatch):
    words = "sbatch: error: invalid partition specified: x\nallocation failure: Invalid partition\n"
    calls = answer(monkeypatch, stderr=words, code=1)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    with pytest.raises(SpecError) as caught:
        slurm.check_slurm(read_slurm(["partition=x"]))
    assert str(caught.value) == (
        "--slurm: Slurm refuses the job: sbatch: error: invalid partition specified: x; "
        "allocation failure: Invalid partition"
    )
    assert calls[0] == ["sbatch", "--test-only", "--partition=x", "--wrap=true"]


def test_without_submitit_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"pip install 'medtuning-bench\[slurm\]'"):
        slurm.check_slurm(SlurmOptions())


def test_without_sbatch_a_login_node_is_named(monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(SpecError, match=r"found no sbatch on PATH \(use a login node"):
        slurm.check_slurm(SlurmOptions())


def test_a_refused_submission_has_slurms_words():
    error = slurm._name_error("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    assert isinstance(error, QueueError)
    assert "QOSMaxSubmitJobPerUserLimit" in str(error)
