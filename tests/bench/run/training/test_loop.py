import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from lightning_fabric import Fabric

import methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.delta import delta_state
from bench.models.segmenter import apply_method
from bench.run.training.loop import TrainingData, fit
from bench.run.training.optimiser import build_optimizer
from bench.run.training.reached import DivergedError
from bench.run.training.schedule import lr_factor
from bench.run.training.step import build_step
from bench.specs.protocol import TrainSpec

PATCH = (2, 16, 16)


def make_model(method: str = "lora"):
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method), seed=0)
    return model


def draw_epoch(epoch: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(epoch)
    coarse = torch.randn(1, 2, PATCH[0], PATCH[1] // 8, PATCH[2] // 8, generator=generator)
    image = coarse.repeat_interleave(8, 3).repeat_interleave(
        8, 4
    )  # one value a token: its decoder sees no finer
    return [
        {"image": image, "label": (image[:, 0] > 0).long() + (image[:, 1] > 1).long()}
        for _ in range(3)
    ]


def run_fit(model, spec: TrainSpec, val_dice=None):
    scores = iter(val_dice or [0.5] * 100)
    heard = []
    data = TrainingData(draw_epoch, 3, lambda: next(scores))
    fabric = Fabric(accelerator="cpu", devices=1, precision=spec.precision)
    return fit(model, data, spec, fabric, lambda *message: heard.append(message)), heard


def test_learning_rate_rises_then_falls_to_zero():
    factors = [lr_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert max(factors) == 1.0
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] < 0.001


def test_the_model_is_left_at_the_best_epoch():
    spec = TrainSpec(epochs=4, val_every=1)
    snapshots = []
    model = make_model()
    scores = [0.2, 0.7, 0.6, 0.7]

    def validate() -> float:
        snapshots.append(delta_state(model))
        return scores[len(snapshots) - 1]

    fabric = Fabric(accelerator="cpu", devices=1)
    fitted = fit(model, TrainingData(draw_epoch, 3, validate), spec, fabric, lambda *_: None)
    assert fitted.best_epoch == 1  # the first of the two equal ones
    assert [record.val_dice for record in fitted.curve] == scores
    kept = delta_state(model)
    assert all(torch.equal(kept[name], tensor) for name, tensor in snapshots[1].items())
    assert not all(torch.equal(kept[name], tensor) for name, tensor in snapshots[3].items())


def test_validation_happens_when_the_protocol_says_and_at_the_end():
    fitted, heard = run_fit(make_model(), TrainSpec(epochs=5, val_every=2))
    assert [record.val_dice is not None for record in fitted.curve] == [
        False,
        True,
        False,
        True,
        True,
    ]
    epochs = [(step.phase, step.done, step.total) for (step,) in heard if not step.units]
    assert epochs == [("fit", epoch, 5) for epoch in range(1, 6)]
    batches = [step.done for (step,) in heard if step.units]
    assert batches == [epoch for epoch in range(5) for _ in range(3)]
    assert all(math.isfinite(record.train_loss) for record in fitted.curve)


def test_max_steps_ends_training_early_with_a_finished_schedule():
    fitted, _ = run_fit(make_model(), TrainSpec(epochs=5, max_steps=4))
    assert len(fitted.curve) == 2
    assert fitted.curve[-1].learning_rate == 0
    assert fitted.curve[-1].val_dice is not None


def test_a_loss_that_is_no_number_is_named():
    with pytest.raises(
        DivergedError,
        match=r"the loss is nan in epoch \d+ \(try a smaller train.lr or train.decoder_lr\)",
    ):
        run_fit(
            make_model("full"),
            TrainSpec(epochs=30, lr=1e30, optimizer="adam", weight_decay=1.0, warmup_frac=0),
        )


def test_training_learns_and_repeats_bit_for_bit():
    spec = TrainSpec(epochs=8, lr=3e-3)
    first, second = (run_fit(make_model(), spec)[0] for _ in range(2))
    assert [record.train_loss for record in first.curve] == [
        record.train_loss for record in second.curve
    ]
    assert first.curve[-1].train_loss < first.curve[0].train_loss


def test_mixed_precision_trains_on_a_cpu_too():
    fitted, _ = run_fit(make_model("med_adapter"), TrainSpec(epochs=1, precision="bf16-mixed"))
    exact, _ = run_fit(make_model("med_adapter"), TrainSpec(epochs=1))
    assert fitted.curve[0].train_loss == pytest.approx(
        exact.curve[0].train_loss, rel=0.02
    )  # bf16 has 8 bits
    assert fitted.curve[0].train_loss != exact.curve[0].train_loss


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)]
)
def test_the_optimiser_holds_exactly_what_trains(name, kind):
    model = make_model()
    optimizer = build_optimizer(model, TrainSpec(optimizer=name))
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert type(optimizer) is kind
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert optimizer.defaults["amsgrad"] == (name == "adam")


def test_accumulated_batches_give_the_step_of_one_large_batch():
    patches = [draw_epoch(number)[0] for number in range(5)]
    large = [
        {key: torch.cat([each[key] for each in patches[first : first + 2]]) for key in patches[0]}
        for first in (0, 2, 4)
    ]
    spec = TrainSpec(epochs=2, batch=1, lr=1e-2, decoder_lr=1e-2)
    models = []
    for batches, accumulate in ((large, 1), (patches, 2)):
        model = make_model().double()
        data = TrainingData(lambda epoch, batches=batches: to_double(batches), len(batches), one)
        fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
        fitted = fit(
            model, data, replace(spec, accumulate=accumulate, select="last"), fabric, ignore
        )
        assert len(fitted.curve) == 2
        models.append(delta_state(model))
    for name, tensor in models[0].items():
        torch.testing.assert_close(models[1][name], tensor, rtol=1e-9, atol=1e-12)


def to_double(batches):
    return [{"image": each["image"].double(), "label": each["label"]} for each in batches]


def one() -> float:
    return 1.0


def ignore(*message) -> None:
    pass


def test_max_steps_counts_optimiser_steps(monkeypatch):
    steps = count_steps(monkeypatch)
    fitted, _ = run_fit(make_model(), TrainSpec(epochs=5, max_steps=3, accumulate=2))
    assert len(steps) == 3  # two in the first epoch of three batches, one in the second
    assert len(fitted.curve) == 2
    assert fitted.curve[-1].learning_rate == 0


def count_steps(monkeypatch) -> list[int]:
    steps = []
    step = torch.optim.AdamW.step

    def record(self, *args, **kwargs):
        steps.append(1)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    return steps


def test_a_measured_step_has_as_many_passes_as_it_accumulates(monkeypatch):
    steps = count_steps(monkeypatch)
    model = make_model().train()
    fabric = Fabric(accelerator="cpu", devices=1)
    step = build_step(model, TrainSpec(accumulate=3), fabric)
    passes = []
    model.decoder.register_forward_hook(lambda *_: passes.append(1))
    batch = draw_epoch(0)[0]
    step.repeat(batch)
    assert (len(passes), len(steps)) == (3, 1)
    repeated = [each.grad for each in model.parameters() if each.grad is not None]
    assert repeated


def test_clipping_is_off_at_zero(monkeypatch):
    norms = []

    def clip(self, *args, max_norm, **kwargs):
        norms.append(max_norm)
        return torch.tensor(0.1)

    monkeypatch.setattr(Fabric, "clip_gradients", clip)
    run_fit(make_model(), TrainSpec(epochs=1, clip_norm=0.0))
    assert norms == []
    run_fit(make_model(), TrainSpec(epochs=1, clip_norm=0.5))
    assert norms == [0.5] * 3


def test_the_last_epoch_is_kept_where_the_protocol_asks_for_it():
    scores = [0.2, 0.7, 0.6]
    snapshots = []
    model = make_model()

    def validate() -> float:
        snapshots.append(delta_state(model))
        return scores[len(snapshots) - 1]

    fabric = Fabric(accelerator="cpu", devices=1)
    spec = TrainSpec(epochs=3, val_every=1, select="last")
    fitted = fit(model, TrainingData(draw_epoch, 3, validate), spec, fabric, ignore)
    assert (fitted.best_epoch, fitted.best_val_dice) == (2, 0.6)
    kept = delta_state(model)
    assert all(torch.equal(kept[name], tensor) for name, tensor in snapshots[2].items())
    assert not all(torch.equal(kept[name], tensor) for name, tensor in snapshots[1].items())
