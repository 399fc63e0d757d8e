from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.decoders.upernet import PyramidPooling, UPerNet


def n_parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parts_have_the_published_sizes():
    with torch.device("meta"):
        decoder = UPerNet((768,) * 4, n_classes=4)
    sizes = {
        "fpn": n_parameters(decoder.fpn),
        "pooling": n_parameters(decoder.pooling),
        "lateral": n_parameters(decoder.lateral),
        "smooth": n_parameters(decoder.smooth),
        "fuse": n_parameters(decoder.fuse),
        "head": n_parameters(decoder.head),
    }
    assert sizes == {
        "fpn": 197_376,
        "pooling": 11_209_728,
        "lateral": 590_592,
        "smooth": 590_080,
        "fuse": 2_359_808,
        "head": 9_220,
    }
    assert sum(sizes.values()) == n_parameters(decoder) == 14_956_804


@pytest.mark.parametrize(
    ("channels", "strides"),
    [((16,) * 4, (8,) * 4), ((16,) * 4, (16,) * 4), ((8, 16, 32, 64), (4, 8, 16, 32))],
)
def test_takes_maps_of_one_scale_and_pyramids(channels, strides):
    torch.manual_seed(0)
    size = (64, 96)
    maps = [
        torch.randn(3, c, size[0] // s, size[1] // s)
        for c, s in zip(channels, strides, strict=True)
    ]
    decoder = UPerNet(channels, n_classes=3)
    logits = decoder(maps, size)
    assert logits.shape == (3, 3, *size)
    logits.square().mean().backward()
    assert all(parameter.grad.any() for parameter in decoder.parameters())


def test_equals_the_definition_in_evaluation_mode():
    torch.manual_seed(0)
    decoder = UPerNet((8, 12, 16, 20), n_classes=3).eval().double()
    for module in decoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight, module.bias):
                torch.nn.init.normal_(tensor)
    maps = [
        torch.randn(2, c, 16 // 2**i, 24 // 2**i, dtype=torch.float64)
        for i, c in enumerate((8, 12, 16, 20))
    ]

    def conv_norm_relu(layers, x):
        conv, norm, _ = layers
        x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
        x = (x - norm.running_mean[:, None, None]) / (
            norm.running_var[:, None, None] + norm.eps
        ).sqrt()
        return F.relu(x * norm.weight[:, None, None] + norm.bias[:, None, None])

    def resize(x, like):
        return F.interpolate(x, size=like.shape[-2:], mode="bilinear")

    top = maps[3]
    pooled = [
        resize(conv_norm_relu(part[1], F.adaptive_avg_pool2d(top, bins)), top)
        for part, bins in zip(decoder.pooling.parts, (1, 2, 4, 6), strict=True)
    ]
    top = conv_norm_relu(decoder.pooling.bottleneck, torch.cat([top, *pooled], dim=1))
    level3 = decoder.lateral[2](top)
    level2 = decoder.lateral[1](maps[2]) + resize(level3, maps[2])
    level1 = decoder.lateral[0](maps[1]) + resize(level2, maps[1])
    level0 = decoder.fpn(maps[0]) + resize(level1, maps[0])
    smooth = [decoder.smooth(level0), decoder.smooth(level1), decoder.smooth(level2), level3]
    fused = conv_norm_relu(decoder.fuse, torch.cat([resize(x, maps[0]) for x in smooth], dim=1))
    expected = F.interpolate(decoder.head(fused), size=(64, 96), mode="bilinear")
    torch.testing.assert_close(decoder(maps, (64, 96)), expected)


@pytest.mark.parametrize("size", [(2, 3), (8, 8), (9, 14)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_pooling_equals_the_convolution_of_the_concatenation(size):
    """Small results are resized before the convolution, large ones within; gradients are equal."""
    torch.manual_seed(0)
    pooling = PyramidPooling(32).eval().double()
    x = torch.randn(2, 32, *size, dtype=torch.float64, requires_grad=True)
    resized = [F.interpolate(part(x), size=size, mode="bilinear") for part in pooling.parts]
    expected = pooling.bottleneck(torch.cat([x, *resized], dim=1))
    leaves = [x, *pooling.parameters()]
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((y * weights).sum(), leaves) for y in (expected, pooling(x))]
    torch.testing.assert_close(pooling(x), expected, rtol=1e-10, atol=1e-12)
    for theirs, ours in zip(*gradients, strict=True):
        assert theirs.any()
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_every_backbone_names_its_decoder():
    found = {}
    for name in registry.names():
        with torch.device("meta"):
            model = build_segmenter(
                Blueprint(name), in_channels=1, n_classes=2, patch=(2, 64, 64), seed=0
            )
        found[name] = type(model.decoder).__name__
    assert found["vit_b16"] == found["swin_tiny"] == "UPerNet"
    assert found["swin_t_unet"] == "SwinUNetDecoder"
    assert found["tiny_vit"] == "LinearDecoder"
    assert {found[name] for name in ("tiny_swin", "vit_ti16", "vit_s16")} == {"LightDecoder"}
