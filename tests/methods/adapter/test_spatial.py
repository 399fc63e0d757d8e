"""Convpass, RepAdapter, Mona and DKA against their equations on timm's own blocks."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

import methods


def linear(x, weight, bias=0):
    return x @ weight.T + bias


def quick_gelu(x):
    return x / (1 + torch.exp(-1.702 * x))


@pytest.mark.parametrize("placement", ["both", "attn"])
def test_convpass_is_beside_the_branches_on_normed_tokens(placement, pair):
    settings = {"bottleneck": 5, "scale": 0.3, "dropout": 0.0, "placement": placement}
    pair.apply(methods.build("convpass", settings))
    tensors = pair.tuned()
    n_sides = len(tensors) // (6 * (8 if "vit" in pair.backbone.name else 7))

    def bypass(z, number):
        down, down_bias, kernel, bias, up, up_bias = tensors[6 * number : 6 * number + 6]
        h = quick_gelu(linear(z, down, down_bias))
        h = pair.on_maps(h, lambda maps: F.conv2d(maps, kernel, bias, padding=1))
        return 0.3 * linear(quick_gelu(h), up, up_bias)

    def step(index, block, x):
        x = x + pair.attend(block, x) + bypass(block.norm1(x), n_sides * index)
        z = block.norm2(x)
        side = bypass(z, n_sides * index + 1) if n_sides == 2 else 0
        return x + block.mlp(z) + side

    assert n_sides == (2 if placement == "both" else 1)
    pair.assert_equal(pair.run(step))


def test_the_convolution_of_a_class_token_has_its_middle_tap_alone(tuned):
    model = tuned("timm:test_vit", methods.build("convpass", {"dropout": 0.0})).double()
    bypass = model.backbone.blocks[0].attn_branch.inner.adapter
    model.backbone.volume.height = model.backbone.volume.width = 2
    for parameter in bypass.parameters():
        parameter.data.normal_()
    z = torch.randn(3, 1 + 4, 64, dtype=torch.float64)
    h = quick_gelu(linear(z[:, :1], bypass.down.weight, bypass.down.bias))
    maps = F.conv2d(h.transpose(1, 2)[..., None], bypass.conv.weight, bypass.conv.bias, padding=1)
    alone = linear(quick_gelu(maps[..., 0].transpose(1, 2)), bypass.up.weight, bypass.up.bias)
    torch.testing.assert_close(bypass(z)[:, :1], alone, rtol=1e-10, atol=1e-12)


def test_repadapter_changes_what_enters_the_layers(pair):
    settings = {"bottleneck": 6, "groups": 3, "scale": 0.3, "dropout": 0.0}
    pair.apply(methods.build("repadapter", settings))
    tensors = pair.tuned()

    def change(z, number):
        up, up_bias, down, down_bias = tensors[4 * number : 4 * number + 4]
        h = linear(z, down, down_bias).reshape(-1, 6, 1)
        y = F.conv1d(h, up.reshape(z.shape[-1], 2, 1), up_bias, groups=3)
        return z + 0.3 * y.reshape(z.shape)

    def step(index, block, x):
        x = x + pair.attend_to(block, change(block.norm1(x), 2 * index))
        return x + block.mlp(change(block.norm2(x), 2 * index + 1))

    pair.assert_equal(pair.run(step))


def test_repadapter_refuses_groups_that_do_not_divide(plain):
    with pytest.raises(ValueError, match="repadapter: bottleneck must be divisible by groups=3"):
        methods.build("repadapter", {"groups": 3})
    method = methods.build("repadapter", {"groups": 3, "bottleneck": 9})
    with pytest.raises(ValueError, match="repadapter: groups must divide the width 128, got 3"):
        method.inject(plain("tiny_vit").backbone)


def test_mona_is_behind_both_additions(pair):
    pair.apply(methods.build("mona", {"bottleneck": 5, "dropout": 0.0}))
    tensors = pair.tuned()

    def mona(x, number):
        gamma, gamma_x, scale, shift, down, down_bias, *convs = tensors[16 * number :][:14]
        *kernels, mix, mix_bias = convs
        up, up_bias = tensors[16 * number :][14:16]
        normed = F.layer_norm(x, x.shape[-1:], scale, shift)
        z = linear(gamma * normed + gamma_x * x, down, down_bias)

        def convolve(maps):
            total = 0
            for k in range(3):
                size = 3 + 2 * k
                kernel, bias = kernels[2 * k : 2 * k + 2]
                total = total + F.conv2d(maps, kernel, bias, padding=size // 2, groups=5)
            u = maps + total / 3
            return u + F.conv2d(u, mix, mix_bias)

        return x + linear(F.gelu(pair.on_maps(z, convolve)), up, up_bias)

    def step(index, block, x):
        x = mona(x + pair.attend(block, x), 2 * index)
        return mona(x + block.mlp(block.norm2(x)), 2 * index + 1)

    pair.assert_equal(pair.run(step))


@pytest.mark.parametrize("weighted", [False, True])
def test_dka_adds_two_kernels_behind_the_block(weighted, pair):
    settings = {"bottleneck": 3, "kernel": 9, "dropout": 0.0, "weighted": weighted}
    pair.apply(methods.build("dka", settings))
    tensors = pair.tuned()
    size = 4 + weighted

    def step(index, block, x):
        own = tensors[size * index : size * index + size]
        alpha, beta = own[0].exp() / own[0].exp().sum() if weighted else (1, 1)
        down, large, small, up = own[-4:]
        x = block(x)
        conv = partial(F.conv2d, groups=3)
        z = F.gelu(linear(x, down))
        both = pair.on_maps(
            z,
            lambda maps: alpha * conv(maps, large, padding=4) + beta * conv(maps, small, padding=2),
        )
        return x + linear(F.gelu(both), up)

    pair.assert_equal(pair.run(step))
