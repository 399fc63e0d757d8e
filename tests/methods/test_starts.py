"""What inserted tensors start from, for each method that has no test of its own for it."""

from fnmatch import fnmatch
from math import inf, sqrt

import pytest
import torch

import methods

E = 128  # the width of the tiny ViT


def constant(value):
    return value, value, 0.0  # mean, largest, deviation


def uniform(limit):
    return 0.0, limit, limit / sqrt(3)


def normal(std):
    return 0.0, inf, std


def fan_in(n):
    """As torch starts linear layers and convolutions, and Kaiming uniform with a = sqrt 5."""
    return uniform(1 / sqrt(n))


def xavier(n_inputs, n_outputs):
    return uniform(sqrt(6 / (n_inputs + n_outputs)))


STARTS = {  # method -> end of the tensors' names -> start; the first that fits
    "convpass": {"down.weight": xavier(E, 8), "conv.weight": None, "": constant(0)},
    "mona": {
        "norm.weight": constant(1),
        "gamma": constant(1e-6),
        "gamma_x": constant(1),
        "down.weight": normal(0.02),
        "up.weight": normal(0.02),
        "convs.0.*": fan_in(9),
        "convs.1.*": fan_in(25),
        "convs.2.*": fan_in(49),
        "mix.*": fan_in(64),
        "": constant(0),
    },
    "dka": {
        "down.weight": fan_in(E),
        "convs.0.weight": fan_in(51**2),
        "convs.1.weight": fan_in(25),
        "up.weight": fan_in(64),
    },
    "repadapter": {"down.weight": xavier(E, 8), "": constant(0)},
    "fact_tt": {
        "down.weight": fan_in(E),
        "fc2.cores.matrices": fan_in(4 * 16),
        "cores.matrices": fan_in(16),
        "": constant(0),
    },
    "fact_tk": {
        "down.weight": fan_in(E),
        "core": xavier(32 * 32, 32 * 32),
        "mixtures": xavier(12 * 6, 32),
        "": constant(0),
    },
    "arena": {"lora_a": fan_in(E), "diagonal": constant(1), "": constant(0)},
    "conv_lora": {"lora_a": fan_in(E), "experts.*.weight": fan_in(27), "": constant(0)},
    "aim": {"down.weight": normal(0.02), "norm.weight": constant(1), "": constant(0)},
    "st_adapter": {"down.weight": fan_in(E), "up.weight": fan_in(64), "": constant(0)},
    "ma_sam": {
        "shared.down.weight": fan_in(E),
        "shared.up.weight": constant(0),
        "cores.matrices": fan_in(32),
        "norm.weight": constant(1),
        "norm.bias": constant(0),
        "down.weight": fan_in(E),
        "conv.*": fan_in(3 * 64),
        "up.weight": fan_in(64),
    },
}


@pytest.mark.parametrize("name", STARTS)
def test_tensors_start_as_the_docstring_says(name, plain):
    backbone = plain("tiny_vit").backbone
    backbone.requires_grad_(False)
    backbone.volume.depth = 3
    methods.build(name).inject(backbone)
    found = {end: [] for end in STARTS[name]}
    for key, value in backbone.named_parameters():
        if value.requires_grad:
            end = next(each for each in found if fnmatch(key, f"*{each}"))
            found[end].append(value.detach())
    for end, values in found.items():
        assert values, f"no tensor is called {end}"
        if STARTS[name][end] is not None:
            check(torch.cat([value.flatten() for value in values]), *STARTS[name][end])


def check(values, mean, largest, std):
    """Check the mean, the deviation and the range of a start."""
    assert values.mean().item() == pytest.approx(mean, abs=0.2 * std + 1e-9)
    assert values.std().item() == pytest.approx(std, rel=0.1, abs=1e-9)
    assert values.abs().max() <= largest + 1e-7


def test_the_convolution_of_convpass_starts_as_the_identity(tuned):
    model = tuned("tiny_vit", methods.build("convpass"))
    conv = model.backbone.blocks[3].mlp_branch.inner.adapter.conv
    maps = torch.randn(2, 8, 4, 4)
    assert torch.equal(conv(maps), maps)
