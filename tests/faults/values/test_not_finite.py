"""What is not finite ends as diverged: no step is taken on it, no class map is made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from safetensors.torch import load_file, save_file
from torch import nn

from bench.cli.app import main
from bench.models.build import build_backbone
from bench.models.delta import delta_state
from bench.models.weights import sources
from bench.pretrain import train as pretraining
from bench.run.delta_file import read_delta
from bench.run.firewall import count_reads, read_selection
from bench.run.inference.predictor import Predictor
from bench.run.network import build_fabric
from bench.run.training.loop import TrainingData, fit
from bench.run.training.reached import DivergedError
from bench.run.training.step import TrainingStep, build_step
from bench.run.watch.progress import Stand
from bench.scoring.cases import NotFiniteError
from bench.specs.protocol import EvalSpec, TrainSpec
from bench.specs.run import Place
from bench.tuning.trial import carry_out_trial
from reports.records.run import Status
from tests.bench.run.training.test_loop import count_steps, draw_epoch, make_model


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Give one gradient a value in one backward pass, which is counted from 0."""

    def make(number: int, value: float) -> None:
        passes = []
        backward = TrainingStep.backward

        def poisoned(self: TrainingStep, loss: torch.Tensor) -> None:
            backward(self, loss)
            if len(passes) == number:
                next(self.model.parameters_of_decoder()).grad[:1] = value
            passes.append(number)

        def parameters_of_decoder(self) -> Iterator[nn.Parameter]:
            return self.decoder.parameters()

        monkeypatch.setattr(
            "bench.models.segmenter.Segmenter.parameters_of_decoder",
            parameters_of_decoder,
            raising=False,
        )
        monkeypatch.setattr(TrainingStep, "backward", poisoned)

    return make


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])  # the last one's norm overflows
@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_no_step_is_taken_on_such_a_gradient_and_the_chosen_epoch_stays(
    value: float, clip_norm: float, poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, states = make_model(), []

    def validate() -> float:
        states.append(delta_state(model))
        return 0.5

    poison(8, value)  # the last of three epochs of three batches
    steps = count_steps(monkeypatch)
    spec = TrainSpec(epochs=3, val_every=1, clip_norm=clip_norm)
    data = TrainingData(draw_epoch, 3, validate)
    with pytest.raises(DivergedError, match=r"gradient is not finite: .* in epoch 2 \(") as caught:
        fit(model, data, spec, build_fabric("cpu", "32-true"), ignore)
    assert "_forward_module" not in str(caught.value)  # the names are those of the network
    assert len(steps) == 8
    reached = caught.value.reached
    assert reached is not None
    assert (reached.best_epoch, len(reached.curve)) == (0, 2)
    kept = delta_state(model)
    assert all(torch.equal(kept[name], tensor) for name, tensor in states[0].items())


def ignore(*message: object) -> None:
    pass


def test_accumulated_gradients_are_looked_at_before_the_step(poison) -> None:
    poison(0, math.nan)  # the first of the two batches of a step
    data = TrainingData(draw_epoch, 3, lambda: 0.5)
    with pytest.raises(DivergedError, match="in epoch 0"):
        fit(make_model(), data, TrainSpec(accumulate=2), build_fabric("cpu", "32-true"), ignore)


def test_a_buffer_that_is_not_finite_is_named_before_validation(monkeypatch) -> None:
    model = make_model("med_adapter")
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d | nn.BatchNorm3d)]
    move = TrainingStep.move

    def overflow(self: TrainingStep) -> bool:
        norms[0].running_var.fill_(math.inf)
        return move(self)

    monkeypatch.setattr(TrainingStep, "move", overflow)
    data = TrainingData(draw_epoch, 3, lambda: pytest.fail("validated"))
    with pytest.raises(DivergedError, match=r"not finite: .*running_var.* in epoch 0"):
        fit(model, data, TrainSpec(epochs=1), build_fabric("cpu", "32-true"), ignore)


def scale_losses() -> Fabric:
    """Return Fabric with 16-mixed as on a GPU, its scaler included; Fabric has none for a CPU."""
    scaler = torch.amp.GradScaler("cpu")
    precision = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    return Fabric(accelerator="cpu", devices=1, plugins=[precision])


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_a_step_left_out_by_the_loss_scale_is_no_fault_until_the_scale_is_spent(
    clip_norm: float,
) -> None:
    model = make_model()
    spec = TrainSpec(precision="16-mixed", clip_norm=clip_norm)
    step = build_step(model, spec, scale_losses())
    before = delta_state(model)
    batch = draw_epoch(0)[0]
    moved = []
    for _ in range(20):
        step.optimizer.zero_grad()
        step.backward(step.loss(batch))
        next(model.decoder.parameters()).grad.view(-1)[0] = math.nan
        moved.append(bool(step.move().isfinite()))
    assert moved.index(False) == 16  # from 2^16 to 1
    after = delta_state(model)
    trained = dict(model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before if name in trained)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # the first is left out
def test_a_loss_scale_that_was_too_large_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    spec = TrainSpec(epochs=2, precision="16-mixed", val_every=1)
    fabric = scale_losses()
    scaler = fabric.strategy.precision.scaler
    scaler._init_scale = 2.0**40  # the first gradients overflow
    fitted = fit(model, TrainingData(draw_epoch, 3, lambda: 0.5), spec, fabric, ignore)
    assert len(fitted.curve) == 2
    assert scaler.get_scale() < 2.0**40


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("flips", [False, True])
def test_no_class_map_is_made_of_such_logits(value: float, flips: bool) -> None:
    class OneVoxel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(1, 3, *x.shape[2:])
            logits[0, 1, 0, 0, 0] = value
            return logits

    fabric = build_fabric("cpu", "32-true")
    predict = Predictor(OneVoxel(), (4, 4, 4), EvalSpec(flips=flips), fabric)
    with pytest.raises(NotFiniteError, match="logits are not finite"):
        predict(np.zeros((1, 8, 8, 8), dtype=np.float32))


def break_weights(model: nn.Module) -> None:
    with torch.no_grad():
        next(iter(model.decoder.parameters())).view(-1)[0] = math.nan


def test_a_run_that_diverges_keeps_the_network_of_the_healthy_epoch(
    make_run, carry_out, poison, tmp_path: Path
) -> None:
    poison(1, math.nan)  # one batch an epoch: of the second and last epoch
    result = carry_out(make_run(), tmp_path)
    assert result.status == Status.DIVERGED
    assert "in epoch 1" in result.reason
    assert (result.best_epoch, len(result.curve)) == (0, 1)
    header, state = read_delta(tmp_path)
    assert header.delta_sha256 == result.chosen_sha256 == read_selection(tmp_path).chosen_sha256
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    assert (result.cases, count_reads(tmp_path)) == ((), 0)


def test_logits_at_the_first_validation_end_a_run_and_a_trial_as_diverged(
    make_run, carry_out, prepared: Path, monkeypatch, tmp_path: Path
) -> None:
    move = TrainingStep.move

    def move_wrongly(self: TrainingStep) -> bool:
        done = move(self)
        with torch.no_grad():  # finite weights whose products overflow
            for parameter in self.model.decoder.parameters():
                parameter.fill_(3e38)
        return done

    monkeypatch.setattr(TrainingStep, "move", move_wrongly)
    spec = make_run()
    result = carry_out(spec, tmp_path)
    assert (result.status, result.best_epoch) == (Status.DIVERGED, None)
    assert "logits are not finite for case" in result.reason
    assert "in epoch 0" in result.reason
    sent: list[tuple] = []
    place = Place(tmp_path / "trial", prepared, "cpu")
    carry_out_trial(spec, place, lambda *message: sent.append(message))
    assert [first for first, second in sent if not isinstance(second, Stand)] == [None]  # no Dice
    assert sent[-1][1]["status"] == Status.DIVERGED
    assert sent[-1][1]["dice"] is None


@pytest.mark.parametrize("n_before", [2, 0])
def test_logits_of_a_held_out_case_or_of_the_reload_end_a_run_as_diverged(
    n_before: int, make_run, carry_out, monkeypatch, tmp_path: Path
) -> None:
    """Break the network right after training, or once the reload check is over."""
    from bench.run import execute

    name = "_score" if n_before else "compare_reloaded"
    original = getattr(execute, name)

    def break_first(first, *arguments):
        break_weights(getattr(first, "model", first))
        return original(first, *arguments)

    monkeypatch.setattr(execute, name, break_first)
    result = carry_out(make_run(), tmp_path)
    assert result.status == Status.DIVERGED
    assert "logits are not finite for" in result.reason
    assert result.cases == ()


def test_predict_writes_nothing_from_such_logits(
    make_run, carry_out, monkeypatch, tmp_path: Path, capsys
) -> None:
    spec = make_run()
    assert carry_out(spec, tmp_path / "run").status == Status.DONE
    from bench.prediction import networks

    load = networks.load_run

    def load_broken(*arguments):
        loaded, model = load(*arguments)
        break_weights(model)
        return loaded, model

    monkeypatch.setattr(networks, "load_run", load_broken)
    case = sorted(path.name for path in Path(spec.root).rglob("BraTS*") if path.is_dir())[0]
    output = tmp_path / "seg.nii.gz"
    arguments = ["--run", str(tmp_path / "run"), "--input", case, "--output", str(output)]
    assert main(["predict", *arguments]) == 2
    assert "logits are not finite" in capsys.readouterr().err
    assert not output.exists()


def test_pretraining_that_diverges_writes_nothing(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "w.safetensors"
    arguments = ["pretrain", "--steps", "3", "--batch", "1", "--out", str(out)]
    assert main([*arguments, "--lr", "1e30"]) == 1
    assert "must be finite, got" in " ".join(capsys.readouterr().err.split())
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: clip(*args) * math.nan)
    assert main(arguments) == 1
    assert "the gradient of step 0" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    backbone = build_backbone("tiny_vit", 3, (64, 64), "none")
    with torch.no_grad():
        backbone.norm.weight[0] = 1e6  # infinite in half precision
    recipe = pretraining.Recipe()
    with pytest.raises(DivergedError, match=r"half precision, got others in norm.weight"):
        pretraining.write_weights(tmp_path / "w.safetensors", backbone, recipe, {})
    state = load_file(sources.find_embedded("formula-vit"))
    state["norm.bias"][0] = math.nan
    file = tmp_path / "v.safetensors"
    save_file(state, file)
    with pytest.raises(ValueError, match=r"must hold finite numbers, got others in norm.bias"):
        build_backbone("tiny_vit", 3, (64, 64), str(file))
