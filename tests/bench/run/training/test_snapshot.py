"""A training that is cut off between any two steps and put together again, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.delta import delta_state
from bench.models.segmenter import apply_method
from bench.run.training.loop import TrainingData, fit
from bench.run.training.snapshot import Snapshot
from bench.specs.protocol import TrainSpec
from tests.faults.values.test_not_finite import scale_losses

PATCH = (2, 16, 16)
SPEC = TrainSpec(epochs=2, val_every=1, lr=1e-2, decoder_lr=1e-2)
N_BATCHES = 3
STATEFUL = ("arena", "conv_lora", "gps", "med_adapter", "spt")
# settings that give a method random numbers, or a state, that it has not by default
SETTINGS = {
    "lora": {"dropout": "0.1"},
    "conv_lora": {"dropout": "0.1"},
    "arena": {"dropout": "0.1"},
    "gps": {"n_batches": "1"},
    "spt": {"share": "0.1", "n_batches": "1"},
}


class CutOffError(Exception):
    pass


class Memory:
    """Keeps the snapshot of the n-th step, or validation, and lets the training end there."""

    def __init__(self, found: Snapshot | None = None, cut_at: int | None = None) -> None:
        self.found = found
        self.cut_at = cut_at
        self.n_reached = 0
        self.snapshot: Snapshot | None = None

    def reach(self, take, *, is_validated=False) -> float:
        self.n_reached += 1
        if self.n_reached == self.cut_at:
            self.snapshot = take()
            raise CutOffError
        return 0.0

    def begin_validation(self, take) -> None:
        self.in_validation = take


class Batches:
    """Batches that draw a random number when they begin, as torch's loader does."""

    def __init__(self, epoch: int) -> None:
        self.generator = torch.Generator().manual_seed(epoch)

    def __iter__(self):
        torch.empty((), dtype=torch.int64).random_()
        for _ in range(N_BATCHES):
            image = torch.randn(1, 2, *PATCH, generator=self.generator)
            yield {"image": image, "label": (image[:, 0] > 0).long() + (image[:, 1] > 1).long()}


def make_model(method: str, backbone: str = "tiny_vit"):
    model = build_segmenter(Blueprint(backbone), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method, SETTINGS.get(method, {})), seed=0)
    torch.manual_seed(7)
    return model


def train(model, spec=SPEC, keeper=None, fabric=None):
    """Return what a training has found, and the tensors of the network."""

    def validate() -> float:
        weights = [each.detach().abs().sum() for each in delta_state(model).values()]
        return float(torch.stack([each.double() for each in weights]).sum()) % 1

    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    data = TrainingData(Batches, N_BATCHES, validate)
    options = {} if keeper is None else {"keeper": keeper}
    fitted = fit(model, data, spec, fabric, lambda step: None, **options)
    return replace(fitted, fit_s=0.0, data_wait_s=0.0), delta_state(model)


def cut_off(model, cut_at: int, spec=SPEC, fabric=None) -> Snapshot:
    keeper = Memory(cut_at=cut_at)
    with pytest.raises(CutOffError):
        train(model, spec, keeper, fabric)
    assert keeper.snapshot is not None
    return keeper.snapshot


def check_equal(found, expected) -> None:
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        assert torch.equal(found[1][name], tensor), name


def list_methods():
    for name in methods.names():
        yield pytest.param(name, marks=() if name in STATEFUL else pytest.mark.slow)


@pytest.mark.parametrize("method", list_methods())
def test_every_method_goes_on_bit_for_bit(method: str) -> None:
    expected = train(make_model(method))
    snapshot = cut_off(make_model(method), 2)  # in the middle of the first epoch
    torch.manual_seed(8)  # of another process
    check_equal(train(make_model(method), SPEC, Memory(snapshot)), expected)


def test_it_goes_on_from_any_moment() -> None:
    expected = train(make_model("spt"))
    for cut_at in range(1, 9):  # 3 steps and the end of an epoch, twice
        snapshot = cut_off(make_model("spt"), cut_at)
        check_equal(train(make_model("spt"), SPEC, Memory(snapshot)), expected)


def test_it_may_be_cut_off_again() -> None:
    expected = train(make_model("arena"))
    snapshot = cut_off(make_model("arena"), 2)
    keeper = Memory(snapshot, cut_at=4)
    with pytest.raises(CutOffError):
        train(make_model("arena"), SPEC, keeper)
    check_equal(train(make_model("arena"), SPEC, Memory(keeper.snapshot)), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2},
        {"optimizer": "adam", "select": "last"},
        {"max_steps": 5, "schedule": "medtuning"},
        {"clip_norm": 0.0, "precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_every_part_of_the_protocol_goes_on(changes: dict) -> None:
    spec = replace(SPEC, **changes)

    def fabric():
        return Fabric(accelerator="cpu", devices=1, precision=spec.precision)

    expected = train(make_model("med_adapter"), spec, fabric=fabric())
    for cut_at in (1, 4):
        snapshot = cut_off(make_model("med_adapter"), cut_at, spec, fabric())
        found = train(make_model("med_adapter"), spec, Memory(snapshot), fabric())
        check_equal(found, expected)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # the first is left out
def test_the_loss_scale_goes_on() -> None:
    spec = replace(SPEC, precision="16-mixed")

    def fabric():
        made = scale_losses()
        made.strategy.precision.scaler._init_scale = 2.0**23  # the first two gradients overflow
        return made

    expected = train(make_model("lora"), spec, fabric=fabric())
    snapshot = cut_off(make_model("lora"), 5, spec, fabric())
    assert snapshot.position.scaler["scale"] == 2.0**21
    check_equal(train(make_model("lora"), spec, Memory(snapshot), fabric()), expected)


def test_a_validation_that_was_cut_off_is_done_again() -> None:
    keeper = Memory()
    expected = train(make_model("lora"), SPEC, keeper)

    class InValidation(Memory):
        def begin_validation(self, take) -> None:
            self.snapshot = take()
            raise CutOffError

    stopped = InValidation()
    with pytest.raises(CutOffError):
        train(make_model("lora"), SPEC, stopped)
    assert stopped.snapshot is not None
    assert stopped.snapshot.position.n_batches == N_BATCHES
    check_equal(train(make_model("lora"), SPEC, Memory(stopped.snapshot)), expected)


class Counting(nn.Module):
    """A module whose state is in a buffer that is not saved."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("n_calls", torch.zeros(()), persistent=False)

    def forward(self, *inputs):
        if self.training:
            self.n_calls += 1
        return self.inner(*inputs) * (1 + 0.01 * self.n_calls)


def test_buffers_that_are_not_saved_go_on() -> None:
    def make():
        model = make_model("linear")
        name, child = next(iter(model.decoder.named_children()))
        setattr(model.decoder, name, Counting(child))
        return model

    expected = train(make())
    snapshot = cut_off(make(), 2)
    check_equal(train(make(), SPEC, Memory(snapshot)), expected)
