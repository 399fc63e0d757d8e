"""SSF and DiffFit against timm's network with gamma and beta in its weights."""

import pytest
import torch
from torch import nn

import methods
from methods.scale_shift.ssf import ScaleShift

FROZEN_LAST = "reduction"  # of Swin's mergings: nothing is behind it


def scaled_layers(pair):
    """Return gamma and beta by timm's name of the layer in front of them."""
    found = {}
    for name, module in pair.backbone.named_modules():
        if isinstance(module, ScaleShift):
            found[pair.name_in_timm(f"{name}.").rstrip(".")] = (module.gamma, module.beta)
    return found


def test_every_layer_is_scaled_and_shifted(pair):
    layers = {
        name: module
        for name, module in pair.reference.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm)
        and not name.endswith(FROZEN_LAST)
    }
    pair.apply(methods.build("ssf"))
    scaled = scaled_layers(pair)
    assert scaled.keys() == layers.keys()
    for name, layer in layers.items():
        gamma, beta = scaled[name]
        rows = gamma.reshape(-1, *[1] * (layer.weight.ndim - 1))
        pair.put(f"{name}.weight", rows * layer.weight.detach())
        pair.put(f"{name}.bias", gamma * layer.bias.detach() + beta)
    pair.assert_equal(pair.run(lambda _, block, x: block(x)))


def test_scales_start_around_one_and_shifts_around_zero(plain):
    model = plain("tiny_vit")
    methods.build("ssf").inject(model.backbone)
    modules = [each for each in model.backbone.modules() if isinstance(each, ScaleShift)]
    gamma = torch.cat([module.gamma for module in modules])
    beta = torch.cat([module.beta for module in modules])
    assert len(gamma) == 17_408 / 2
    assert gamma.mean().item() == pytest.approx(1, abs=1e-3)
    for values in (gamma, beta):
        assert values.std().item() == pytest.approx(0.02, rel=0.05)


def test_difffit_scales_both_branches_and_trains_biases_and_norms(pair):
    expected = {
        name
        for name, _ in pair.reference.named_parameters()
        if name.endswith(".bias") or "norm" in name
    }
    pair.apply(methods.build("difffit"))
    gammas = [pair_of[0] for pair_of in scaled_layers(pair).values()]
    own = {id(gamma) for gamma in gammas}
    named = pair.backbone.named_parameters()
    thawed = {
        pair.name_in_timm(name): value
        for name, value in named
        if value.requires_grad and id(value) not in own
    }
    assert thawed.keys() == expected
    for name, value in thawed.items():
        pair.put(name, value)

    def step(index, block, x):
        x = x + gammas[2 * index] * pair.attend(block, x)
        return x + gammas[2 * index + 1] * block.mlp(block.norm2(x))

    pair.assert_equal(pair.run(step))
