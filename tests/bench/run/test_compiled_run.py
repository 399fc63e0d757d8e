"""A network that is compiled is trained and scores as without, to rounding."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.models import compiled
from bench.models.compiled import CompileError, check_compiler
from bench.run import execute
from bench.run.execute import execute_run
from bench.run.interruption import Interrupted, interruptible
from bench.run.restore import load_run
from bench.run.watch import progress
from bench.specs.protocol import override
from bench.specs.run import USUAL, Means, MethodSpec, Place
from methods.execution import Execution
from reports.records.run import RunResult, Status

# Of a loss, and of a Dice: a compiled network adds up in another order, and training enlarges that.
LOSS = {"rel": 1e-5}
DICE = {"abs": 1e-3}


def find_obstacle() -> str:
    try:
        check_compiler("cpu")
    except CompileError as error:
        return str(error)
    return ""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks be traced, with both passes, and computed without a C++ compiler."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    monkeypatch.setattr(compiled, "OPTIONS", None)
    monkeypatch.setattr("bench.run.setup.check_compiler", lambda kind: None)


@pytest.fixture
def carry(prepared, monkeypatch):
    """Return a function that carries out a run, compiled or not, until a signal comes."""
    monkeypatch.setattr(progress, "SEND_S", 0.0)

    def run(spec, folder: Path, means: Means = USUAL, stop_at: int | None = None) -> RunResult:
        n_told: Counter[str] = Counter()

        def tell(phase: str, stand: object) -> None:
            n_told[phase] += 1
            if phase == "fit" and n_told[phase] == stop_at:
                os.kill(os.getpid(), signal.SIGUSR1)

        with interruptible():
            return execute_run(spec, Place(folder, prepared, "cpu", means), tell)

    yield run
    torch._dynamo.reset()  # what was compiled would stay until the tests end


@pytest.fixture
def make_varied(make_run):
    """Return the spec of a run; with 3 patches the last batch of an epoch is smaller."""

    def make(method: str, *settings: tuple[str, str], n_patches: int = 3):
        spec = make_run(method)
        protocol = override(spec.protocol, f"data.patches_per_epoch={n_patches}")
        return replace(spec, method=MethodSpec(method, settings), protocol=protocol)

    return make


def check_close(found: RunResult, expected: RunResult) -> None:
    """Check that two runs have the same curve and the same scores, to rounding."""
    assert (found.status, expected.status) == (Status.DONE, Status.DONE), found.traceback
    assert found.best_epoch == expected.best_epoch
    for one, other in zip(found.curve, expected.curve, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, **LOSS)
        assert one.val_dice == pytest.approx(other.val_dice, **DICE)
    assert len(found.cases) == len(expected.cases) > 0
    for row, wanted in zip(found.cases, expected.cases, strict=True):
        assert (row.case, row.region) == (wanted.case, wanted.region)
        assert row.dice == pytest.approx(wanted.dice, nan_ok=True, **DICE)


def check_record(found: RunResult, plain: RunResult) -> None:
    """Check what a compiled run tells beside its scores."""
    assert found.is_compiled
    assert not plain.is_compiled
    assert found.protocol_id == plain.protocol_id
    assert found.reload_max_abs_diff == 0  # of two networks that are not compiled
    cost, usual = found.cost, plain.cost
    assert usual.compile_s is None
    assert cost.compute == usual.compute  # counted without the compiler
    assert 0 < cost.memory.saved_for_backward_mib <= 1.01 * usual.memory.saved_for_backward_mib
    phases_s = sum(each.seconds for each in cost.phases)
    wall_s = found.provenance["wall_s"]
    assert 0.1 < cost.compile_s < wall_s
    assert phases_s + cost.compile_s == pytest.approx(wall_s, abs=2.0)
    assert cost.fit_s + cost.score_s < phases_s
    first_s = {each.phase: each.first_s for each in cost.phases}
    assert first_s["fit"] < cost.compile_s  # the first batch waits for the compiler


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("method", "n_patches", "execution"),
    [("linear", 3, Execution()), ("med_adapter", 2, Execution(checkpointing=True))],
)
def test_a_traced_run_is_that_of_the_network(
    method, n_patches, execution, make_varied, carry, tmp_path
):
    spec = make_varied(method, n_patches=n_patches)
    plain = carry(spec, tmp_path / "plain", Means(execution))
    found = carry(spec, tmp_path / "traced", Means(execution, compiled=True))
    check_close(found, plain)
    check_record(found, plain)


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_a_compiled_run_goes_on_from_its_checkpoint(make_varied, carry, tmp_path):
    spec = make_varied("lora", ("dropout", "0.1"))
    means = Means(checkpoint_s=1e-6, compiled=True)
    whole = carry(spec, tmp_path / "whole", means)
    with pytest.raises(Interrupted):
        carry(spec, tmp_path / "cut", means, stop_at=3)
    found = carry(spec, tmp_path / "cut", means)
    assert found.interruptions == 1
    assert found.status is Status.DONE, found.traceback
    assert found.chosen_sha256 == whole.chosen_sha256
    assert (found.curve, found.cases) == (whole.curve, whole.cases)
    assert found.cost.compile_s > whole.cost.compile_s  # of both processes


@pytest.mark.slow
@pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())
def test_a_compiled_run_has_the_losses_and_scores_of_a_plain_one(make_varied, carry, tmp_path):
    spec = make_varied("lora", ("dropout", "0.1"), n_patches=2)
    plain = carry(spec, tmp_path / "plain")
    found = carry(spec, tmp_path / "compiled", Means(compiled=True))
    check_close(found, plain)
    check_record(found, plain)
    assert found.cost.merged.max_abs_diff < 1e-4
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 4, 32, 32))).float()
    logits = []
    for name in ("plain", "compiled"):  # as `predict` loads them
        _, model = load_run(tmp_path / name, "cpu")
        with torch.inference_mode():
            logits.append(model(image))
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_traced_is_the_reason_of_the_failure(make_run, carry, traced, tmp_path):
    """A method of a user need not tell that it looks at numbers."""
    found = carry(make_run("conv_lora"), tmp_path, Means(compiled=True))
    assert found.status is Status.FAILED
    assert found.reason.startswith("--compile: torch cannot compile the network: ")
    assert found.reason.endswith("(without --compile it computes as well)")


def test_a_run_that_cannot_be_compiled_fails_before_it_trains(
    make_run, carry, tmp_path, monkeypatch
):
    def refuse(kind: str) -> None:
        raise CompileError(f"--compile: nothing for {kind}")

    monkeypatch.setattr("bench.run.setup.check_compiler", refuse)
    monkeypatch.setattr(execute, "_fit", lambda *_: pytest.fail("it trains"))
    found = carry(make_run(), tmp_path, Means(compiled=True))
    assert found.status is Status.FAILED
    assert found.reason == "CompileError: --compile: nothing for cpu"
