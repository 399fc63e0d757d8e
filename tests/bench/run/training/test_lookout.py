"""Steps whose losses are read now and then are the same steps."""

import pytest
import torch
from lightning_fabric import Fabric

from bench.models.delta import delta_state
from bench.run.training import lookout
from bench.run.training.lookout import Waiting
from bench.run.training.loop import TrainingData, fit
from bench.run.training.reached import DivergedError
from bench.specs.protocol import TrainSpec
from tests.bench.run.training.test_loop import draw_epoch, make_model

SPEC = TrainSpec(epochs=4, val_every=1)


def train(draw=draw_epoch):
    model = make_model()
    heard = []
    data = TrainingData(draw, 3, lambda: 0.5)
    fabric = Fabric(accelerator="cpu", devices=1)
    fitted = fit(model, data, SPEC, fabric, heard.append)
    return fitted, delta_state(model), heard


@pytest.fixture
def seldom(monkeypatch):
    monkeypatch.setitem(lookout.EVERY, "cpu", 2)


def test_rare_looks_change_nothing(request):
    fitted, weights, heard = train()
    request.getfixturevalue("seldom")
    rarely, same, told = train()
    assert rarely.curve == fitted.curve
    assert all(torch.equal(same[name], weights[name]) for name in weights)
    assert len(told) == len(heard)
    assert [told[0].loss, told[1].loss] == [None, heard[1].loss]  # known from the second batch on


def spoil_in_epoch(epoch, name, value):
    def draw(number):
        batches = draw_epoch(number)
        if number == epoch:
            batches[1][name] = value(batches[1][name])
        return batches

    return draw


def test_a_loss_that_is_not_finite_is_found_at_the_next_look_and_the_healthy_state_stays(seldom):
    draw = spoil_in_epoch(2, "image", lambda image: image * torch.nan)
    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 2") as diverged:
        train(draw)
    reached = diverged.value.reached
    assert (reached.best_epoch, len(reached.curve)) == (0, 2)


def test_a_gpu_waits_from_the_end_of_a_step_to_its_next_batch(monkeypatch):
    clock = iter([10.0, 12.5, 20.0, 20.25])

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self):
            self.at_ms = next(clock)

        def elapsed_time(self, other):
            return other.at_ms - self.at_ms

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: pytest.fail("waited"))
    waiting = Waiting(torch.device("cuda", 0))
    assert [waiting.time(lambda: "batch"), waiting.time(lambda: None)] == ["batch", None]
    assert waiting.read() == pytest.approx([0.0025, 0.00025])
    assert waiting.read() == []
