"""A run with a decoder that is frozen, or has residuals, is killed, goes on, and segments alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.cli.app import main
from bench.models.delta import hash_tensors
from bench.run.delta_file import read_delta
from bench.run.donor import PREFIX
from bench.run.execute import execute_run
from bench.run.resume.folder import CHECKPOINT_FILE
from bench.run.watch import progress
from bench.specs.protocol import override
from bench.specs.run import Donor, Means, MethodSpec, Place, RunSpec
from reports.records.run import Status

pytestmark = pytest.mark.slow
OFTEN_S = 1e-6  # a checkpoint after each step
KILLED_AT = 6  # of eight batches
METHOD = MethodSpec("lora", (("dropout", "0.1"),))


def read_decoder(folder: Path) -> dict[str, torch.Tensor]:
    _, state = read_delta(folder)
    return {key.removeprefix(PREFIX): each for key, each in state.items() if PREFIX in key}


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder of results."""
    return tmp_path / "results"


@pytest.fixture
def donor(make_run, carry_out, place) -> Donor:
    spec = make_run("linear")
    folder = place / "runs" / spec.run_id
    assert carry_out(spec, folder).status is Status.DONE
    return Donor(spec.run_id, str(folder), hash_tensors(read_decoder(folder)))


def work(spec: RunSpec, place: Place, n_threads: int, kill_at: int = 0) -> None:
    """Carry out a run; its process is killed when a batch of that number was told."""
    torch.set_num_threads(n_threads)
    progress.SEND_S = 0.0
    n_told = 0

    def tell(phase: str, stand: object) -> None:
        nonlocal n_told
        n_told += phase == "fit"
        if n_told == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    execute_run(spec, place, tell)


@pytest.mark.parametrize("mode", ["frozen", "peft"])
def test_a_killed_run_ends_as_if_undisturbed(
    mode, make_run, carry_out, donor, place, prepared, tmp_path
):
    made = make_run("lora")
    protocol = override(made.protocol, "data.patches_per_epoch=8")
    protocol = override(protocol, f"model.decoder_mode={mode}")
    spec = replace(made, method=METHOD, protocol=protocol, donor=donor)
    whole = carry_out(spec, place / "whole")
    assert whole.status is Status.DONE, whole.traceback
    means = Means(checkpoint_s=OFTEN_S)
    run = Place(place / "killed", prepared, "cpu", means)
    threads = torch.get_num_threads()
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(spec, run, threads, KILLED_AT)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert (run.folder / CHECKPOINT_FILE).is_file()
    found = execute_run(spec, run, lambda *message: None)
    assert (found.interruptions, whole.interruptions) == (1, 0)
    for name in ("status", "curve", "best_epoch", "chosen_sha256", "cases"):
        assert getattr(found, name) == getattr(whole, name), name
    given, own = read_decoder(Path(donor.folder)), read_decoder(run.folder)
    if mode == "frozen":
        assert hash_tensors(own) == hash_tensors(given)
    else:
        assert own.keys() != given.keys()  # the residuals have names of their own
    assert segment(run.folder, tmp_path / "one") == segment(place / "whole", tmp_path / "two")


def segment(folder: Path, output: Path) -> bytes:
    """Return the file that `predict` writes for a case."""
    output.mkdir()
    file = output / "case.nii"
    words = ["predict", "--run", str(folder), "--input", "BraTS20_Training_001"]
    assert main([*words, "--output", str(file), "--device", "cpu"]) == 0
    return file.read_bytes()
