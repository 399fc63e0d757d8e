"""What inserted modules do beside the forward pass has its effect in the training loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from bench.run.training.loop import TrainingData, fit
from bench.run.training.schedule import lr_factor
from bench.run.training.selection import select_by_gradient
from bench.run.training.step import build_step
from bench.specs.protocol import TrainSpec
from methods.selective.sparse import SparseUpdate

PATCH = (2, 16, 16)
SPEC = TrainSpec(epochs=2, lr=1e-2, decoder_lr=1e-3, weight_decay=0.0, clip_norm=0.0)
N_BATCHES = 3


class Probe(nn.Module):
    """A module with a loss of its own that writes down what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))
        self.rates: list[float] = []

    def extra_loss(self) -> torch.Tensor:
        return 5 * self.value.sum()

    def after_step(self, lr: float) -> None:
        self.rates.append(lr)


def make_model(method="lora", **settings):
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method, settings), seed=0)
    return model


def draw_epoch(epoch):
    """Return the batches of an epoch; no two are alike."""
    generator = torch.Generator().manual_seed(epoch)
    images = torch.randn(N_BATCHES, 1, 2, *PATCH, generator=generator)
    return [{"image": image, "label": (image[:, 0] > 0).long()} for image in images]


def make_fabric():
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def probe():
    """A probe in a network that was trained."""
    model = make_model()
    model.backbone.add_module("probe", Probe())
    fit(model, TrainingData(draw_epoch, N_BATCHES, lambda: 0.5), SPEC, make_fabric(), print)
    return model.backbone.probe


def test_after_each_step_a_module_gets_the_methods_rate_of_that_step(probe):
    n_steps = SPEC.epochs * N_BATCHES
    factors = [lr_factor(step, n_steps, SPEC.warmup_frac) for step in range(n_steps)]
    assert probe.rates == pytest.approx([SPEC.lr * factor for factor in factors])


def test_the_loss_of_a_module_moves_its_parameters(probe):
    """Adam goes by the rate against a gradient that is always the same."""
    assert probe.value.item() == pytest.approx(-sum(probe.rates), rel=1e-3)


@pytest.mark.parametrize("n_batches", [1, 4])
def test_the_first_batches_choose_by_the_protocols_loss(n_batches):
    """The gradients are added up over batches, of the second epoch as well, and none moves."""
    spec = replace(SPEC, loss="dice")
    model = make_model("gps", n_batches=n_batches)
    plain = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    step = build_step(plain.train(), spec, make_fabric())
    for batch in [*draw_epoch(0), *draw_epoch(1)][:n_batches]:
        step.backward(step.loss(batch))
    select_by_gradient(model, draw_epoch, spec, make_fabric())
    layers = dict(model.backbone.named_modules())
    updates = {name: each for name, each in layers.items() if isinstance(each, SparseUpdate)}
    assert len(updates) == 25
    for name, update in updates.items():
        gradient = plain.backbone.get_submodule(name).weight.grad.flatten(1)
        chosen = update.index.reshape(len(gradient), 1) % gradient.shape[1]
        assert torch.equal(chosen, gradient.abs().argmax(dim=1, keepdim=True))
