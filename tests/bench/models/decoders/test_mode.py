"""A decoder that is frozen, or adapted by low-rank residuals: what trains, and what stays."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

import methods
from bench.cost.flops import count_training, pass_both_ways
from bench.cost.measure import count_parameters
from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.decoders.mode import RANK, count_plain
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import Segmenter, apply_method
from bench.run.network import build_fabric
from bench.run.training.step import build_step
from bench.specs.protocol import TrainSpec
from methods.base import MissingRole

PATCH = (2, 32, 32)
CASES = [
    ("tiny_vit", "linear"),
    ("tiny_vit", "light"),
    ("tiny_vit", "upernet"),
    ("tiny_swin", "swin_unet"),
]
RESIDUALS = ("parametrizations.weight.0.down", "parametrizations.weight.0.up")


def make(
    backbone: str, decoder: str, mode: str, method: str = "lora", seed: int = 3, **given: object
) -> Segmenter:
    blueprint = Blueprint(backbone, decoder=decoder, decoder_mode=mode)
    model = build_segmenter(blueprint, in_channels=2, n_classes=3, patch=PATCH, seed=seed, **given)
    apply_method(model, methods.build(method), seed=1)
    return model


def take_steps(model: Segmenter, count: int = 2) -> None:
    spec = TrainSpec(lr=1e-2, decoder_lr=1e-2, weight_decay=0.1, decoder_weight_decay=0.1)
    step = build_step(model.train(), spec, build_fabric("cpu", "32-true"))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 2, *PATCH, generator=generator)
    label = torch.randint(0, 3, (2, *PATCH), generator=generator).byte()
    for _ in range(count):
        step.update(step.loss({"image": image, "label": label}))


@pytest.mark.parametrize(("backbone", "decoder"), CASES)
def test_no_tensor_of_a_frozen_decoder_changes(backbone, decoder):
    model = make(backbone, decoder, "frozen")
    before = copy.deepcopy(model.decoder.state_dict())
    tuned = copy.deepcopy(model.tuned_parameters())
    take_steps(model)
    assert not any(module.training for module in model.decoder.modules())
    after = model.decoder.state_dict()
    assert {name: torch.equal(after[name], before[name]) for name in before} == dict.fromkeys(
        before, True
    )
    moved = {name for name, each in model.tuned_parameters().items() if each.ne(tuned[name]).any()}
    assert moved
    counts = count_parameters(model)
    whole = sum(each.numel() for each in model.decoder.parameters())
    assert (counts.decoder, counts.decoder_plain) == (0, whole)
    assert counts.total == counts.backbone + whole


@pytest.mark.parametrize(("backbone", "decoder"), CASES)
def test_residuals_start_as_the_identity_and_train_alone(backbone, decoder):
    state = make(backbone, decoder, "frozen", seed=5).decoder.state_dict()
    plain = make(backbone, decoder, "frozen", decoder_state=state)
    adapted = make(backbone, decoder, "peft", decoder_state=state)
    volume = torch.randn(1, 2, *PATCH)
    with torch.no_grad():
        expected, found = plain.eval()(volume), adapted.eval()(volume)
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
    names = {name for name, each in adapted.decoder.named_parameters() if each.requires_grad}
    layers = [
        module
        for module in plain.decoder.modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ]
    assert len(names) == 2 * len(layers) > 0
    assert all(name.endswith(RESIDUALS) for name in names)
    counts, expected_count = count_parameters(adapted), 0
    for layer in layers:
        rows, columns = layer.weight.shape[0], layer.weight[0].numel()
        expected_count += min(RANK, rows, columns) * (rows + columns)
    assert counts.decoder == expected_count
    assert counts.decoder_plain == count_plain(plain.decoder)
    before = copy.deepcopy(adapted.decoder.state_dict())
    take_steps(adapted)
    after = adapted.decoder.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == names


@pytest.mark.parametrize("mode", ["frozen", "peft"])
def test_the_delta_gives_the_decoder_back_without_its_donor(mode):
    trained = make("tiny_vit", "upernet", mode, seed=3)
    take_steps(trained)
    state = delta_state(trained)
    again = make("tiny_vit", "upernet", mode, seed=3)
    with torch.no_grad():
        for each in again.decoder.parameters():
            each.fill_(0.5)
    load_delta(again, state)
    volume = torch.randn(1, 2, *PATCH)
    with torch.no_grad():
        assert torch.equal(trained.eval()(volume), again.eval()(volume))


def test_training_a_frozen_decoder_costs_what_autograd_executes():
    macs = {}
    for mode in ("train", "frozen", "peft"):
        with torch.device("meta"):
            model = make("tiny_vit", "upernet", mode, method="lora")
            volume = torch.empty(1, 2, *PATCH)
            macs[mode], unknown = count_training(pass_both_ways(model), volume)
        assert not unknown
    forward = macs["train"] / 3
    assert macs["frozen"] < macs["train"]
    assert macs["frozen"] < macs["peft"]
    assert macs["frozen"] > 1.5 * forward  # gradients still go through to the method


def test_what_trains_nothing_is_skipped_with_the_reason():
    with pytest.raises(MissingRole, match="linear: it trains nothing in the backbone, and the dec"):
        make("tiny_vit", "linear", "frozen", method="linear")
    make("tiny_vit", "linear", "peft", method="linear")


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"decoder_mode: must be train, frozen, peft, got 'froz"):
        make("tiny_vit", "linear", "froz")


@pytest.mark.parametrize("backbone", registry.names())
@pytest.mark.parametrize("decoder", registry.DECODERS)
def test_every_decoder_is_built_and_computes_or_is_refused(backbone, decoder):
    blueprint = Blueprint(backbone, decoder=decoder)
    hosts = registry.get(backbone).is_swin or not registry.DECODERS[decoder].needs_swin
    if not hosts:
        with pytest.raises(ValueError, match="must decode a Swin Transformer"):
            build_segmenter(blueprint, in_channels=2, n_classes=3, patch=(2, 64, 64), seed=0)
        return
    with torch.device("meta"):  # residuals are put beside what every mode has
        model = build_segmenter(
            replace(blueprint, decoder_mode="peft"),
            in_channels=2,
            n_classes=3,
            patch=(2, 64, 64),
            seed=0,
        )
        logits = model.eval()(torch.empty(1, 2, 2, 64, 64))
    assert logits.shape == (1, 3, 2, 64, 64)
