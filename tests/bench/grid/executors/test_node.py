"""A job sees the GPU that Slurm gave it, and no other; clocks and locks are tried out."""

import multiprocessing

import pytest
from filelock import FileLock

from bench.grid.executors import node
from bench.specs.protocol import SpecError


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"CUDA_VISIBLE_DEVICES": "3"}, {}),
        ({"SLURM_JOB_GPUS": "2"}, {"CUDA_VISIBLE_DEVICES": "2"}),
        ({"SLURM_STEP_GPUS": "1", "SLURM_JOB_GPUS": "1,2"}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ({}, {"CUDA_VISIBLE_DEVICES": ""}),
    ],
)
def test_exactly_the_given_gpus_are_shown(environment, shown):
    assert node.show_given_gpus(environment) == shown


@pytest.mark.parametrize(
    ("asked", "n_gpus", "wants", "device"),
    [
        ("auto", 1, True, "cuda:0"),
        ("cuda", 1, True, "cuda:0"),
        ("cuda:5", 1, False, "cuda:0"),
        ("cpu", 1, True, "cpu"),
        ("auto", 0, False, "cpu"),
        ("cpu", 0, True, "cpu"),
    ],
)
def test_the_device_of_a_job(asked, n_gpus, wants, device):
    assert node.choose_device(asked, n_gpus, wants_gpu=wants) == device


@pytest.mark.parametrize(
    ("asked", "n_gpus", "wants", "words"),
    [
        ("auto", 0, True, "torch must see the GPU that Slurm gave the job, got none"),
        ("cuda", 0, False, "'cuda' needs a GPU, but Slurm gave the job none"),
        ("auto", 4, True, "a run uses 1 GPU, got 4 in its job"),
    ],
)
def test_no_gpu_and_too_many_are_a_sentence(asked, n_gpus, wants, words):
    with pytest.raises(SpecError, match=words):
        node.choose_device(asked, n_gpus, wants_gpu=wants)


def test_a_run_has_all_gpus_of_its_job():
    assert node.choose_device("auto", 4, wants_gpu=True, n_devices=4) == "cuda:0"
    with pytest.raises(SpecError, match="a run uses 4 GPUs, got 2 in its job"):
        node.choose_device("auto", 2, wants_gpu=True, n_devices=4)


def test_a_clock_is_compared_with_that_of_the_disk(tmp_path, monkeypatch):
    assert abs(node.measure_clock_offset_s(tmp_path)) < 1
    now = node.time.time
    monkeypatch.setattr(node.time, "time", lambda: now() + 300)
    offset_s = node.measure_clock_offset_s(tmp_path)
    assert offset_s == pytest.approx(300, abs=1)
    assert node.describe_skew("n1", offset_s).startswith("n1: its clock is 300 s ahead of")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("offset_s", [None, 0.0, 59.0, -59.0])
def test_small_differences_of_clocks_are_not_told(offset_s):
    assert node.describe_skew("n1", offset_s) == ""


def test_a_clock_behind_is_told():
    assert "n1: its clock is 90 s behind that of the disk" in node.describe_skew("n1", -90.0)


def hold(file, held, done):
    with FileLock(file):
        held.set()
        done.wait(20)


def test_the_lock_of_another_process_is_seen(tmp_path):
    file = tmp_path / ".held"
    assert not node.sees_lock(file)
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(file, held, done))
    process.start()
    assert held.wait(20)
    assert node.sees_lock(file)
    done.set()
    process.join()
