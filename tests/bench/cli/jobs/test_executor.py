"""Options of executors that do not fit together are one sentence."""

import pytest
import torch
from torch._inductor.cpp_builder import cpp_compiler_search

from bench.cli.app import main
from bench.grid.executors import slurm


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--executor", "sge"], "--executor: must be local or slurm, got 'sge'"),
        (["--slurm", "mem=1G"], "--slurm: is for --executor slurm, got --executor local"),
        (["--max-jobs", "2"], "--max-jobs: is for --executor slurm, got --executor local"),
        (["--detach"], "--detach: is for --executor slurm, got --executor local"),
        (
            ["--executor", "slurm", "--jobs", "2"],
            "--jobs: is for --executor local, got 2 (--max-jobs limits jobs of Slurm)",
        ),
        (["--executor", "slurm", "--timeout", "1h"], "--timeout: is for --executor local, got 1h"),
        (["--executor", "slurm", "--slurm", "nodes=2"], "--slurm: nodes must be 1"),
        (
            ["--executor", "slurm", "--tune", "4"],
            "--storage: workers of Slurm need serve, grpc://HOST:PORT or a database server",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--methods", "linear", *options]) == 2
    assert " ".join(capsys.readouterr().err.split()).startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "4"], "--workers: is for --executor slurm, got --executor local"),
        (["--storage", "grpc://host"], "--storage: must be grpc://HOST:PORT, got 'grpc://host'"),
        (
            ["--executor", "slurm"],
            "--storage: workers of Slurm need serve, grpc://HOST:PORT or a database server, got n",
        ),
        (
            ["--executor", "slurm", "--storage", "sqlite:///x.db"],
            "--storage: workers of Slurm need serve, grpc://HOST:PORT or a database server, got s",
        ),
    ],
)
def test_what_does_not_fit_tuning_is_one_sentence(options, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "--methods", "linear", *options]) == 2
    assert " ".join(capsys.readouterr().err.split()).startswith(f"error: {sentence}")


TWO = ["--devices", "2", "--set", "train.batch=2"]


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--devices", "2"], "--devices: train.batch must be a multiple of 2"),
        (["--devices", "2", "--set", "train.batch=3"], "--devices: train.batch must be a multiple"),
        ([*TWO, "--set", "data.patches_per_epoch=5"], "--devices: the last batch of an epoch must"),
        ([*TWO, "--tune", "3"], "--devices: a trial has one device"),
        ([*TWO, "--device", "cuda:0"], "--devices: must be at most 1, as there is cuda:0, got 2"),
        ([*TWO, "--executor", "slurm"], "--devices: 2 GPUs for each run need gpus_per_node=2"),
        (
            [*TWO, "--executor", "slurm", "--slurm", "gpus_per_node=4"],
            "--slurm: gpus_per_node must be 2 GPUs, as a job is one run, got 4",
        ),
    ],
)
def test_devices_that_cannot_share_a_run_are_one_sentence(
    command, options, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert main([command, "--methods", "linear", *options]) == 2
    assert " ".join(capsys.readouterr().err.split()).startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    """Let torch find no compiler; it remembers what it has found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    cpp_compiler_search.cache_clear()
    yield
    cpp_compiler_search.cache_clear()


@pytest.mark.parametrize("command", [["run"], ["plan"], ["tune"]])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--devices", "2"], "--compile: a run that is compiled has one device, got --devices 2"),
        (
            ["--methods", "linear,conv_lora"],
            "--compile: conv_lora cannot be compiled, as the numbers of images of its experts "
            "depend on the data (leave out the method or --compile)",
        ),
        ([], "--compile: torch.compile needs a C++ compiler such as g++, and none was found"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(
    command, options, sentence, no_compiler, tmp_path, monkeypatch, capsys
):
    if command == ["tune"] and "2" in options:
        sentence = "--devices: a trial has one device"
    monkeypatch.chdir(tmp_path)
    settings = ["--device", "cpu", "--compile", "--set", "train.batch=2"]
    assert main([*command, "--methods", "linear", *settings, *options]) == 2
    assert " ".join(capsys.readouterr().err.split()).startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())


def test_without_submitit_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    assert main(["run", "--methods", "linear", "--executor", "slurm"]) == 2
    assert "pip install 'medtuning-bench[slurm]'" in " ".join(capsys.readouterr().err.split())


def test_without_sbatch_a_login_node_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    assert main(["run", "--methods", "linear", "--executor", "slurm"]) == 2
    assert "found no sbatch on PATH" in " ".join(capsys.readouterr().err.split())
