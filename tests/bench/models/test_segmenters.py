from __future__ import annotations

import pytest
import torch

import methods
from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.decoders.light import LightDecoder
from bench.models.decoders.linear import LinearDecoder
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import apply_method

EVERY = [name for name in registry.names() if name.startswith("tiny_")]


def build(backbone="tiny_vit", seed=0, patch=(3, 64, 64)):
    return build_segmenter(Blueprint(backbone), in_channels=2, n_classes=5, patch=patch, seed=seed)


@pytest.mark.parametrize("backbone", EVERY)
def test_logits_have_the_shape_of_the_volume(backbone):
    model = build(backbone, patch=(3, 64, 96))
    assert model(torch.randn(2, 2, 3, 64, 96)).shape == (2, 5, 3, 64, 96)
    assert model.backbone.volume.depth == 3


@pytest.mark.parametrize("backbone", EVERY)
def test_every_slice_is_segmented_for_itself(backbone):
    model, volume = build(backbone).eval(), torch.randn(2, 2, 3, 64, 64)
    with torch.no_grad():
        whole = model(volume)
        apart = torch.cat([model(volume[:, :, [index]]) for index in range(3)], dim=2)
    torch.testing.assert_close(whole, apart, rtol=1e-4, atol=1e-5)


def test_seeds_decide_all_and_touch_nothing():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    models = [build(seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    first, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["decoder.head.weight"], other["decoder.head.weight"])
    assert not torch.equal(first["backbone.pos_embed"], other["backbone.pos_embed"])


@pytest.mark.parametrize(
    ("channels", "strides"),
    [((16,) * 4, (8,) * 4), ((8, 16, 32, 64), (4, 8, 16, 32)), ((16,) * 4, (16,) * 4)],
)
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_decoder_takes_plain_and_pyramidal_maps(channels, strides, size):
    maps = [
        torch.randn(2, channel, size[0] // stride, size[1] // stride)
        for channel, stride in zip(channels, strides, strict=True)
    ]
    decoder = LightDecoder(channels, strides, n_classes=3)
    logits = decoder(maps, size)
    assert logits.shape == (2, 3, *size)
    logits.square().mean().backward()
    assert all(parameter.grad.any() for parameter in decoder.parameters())


def test_decoder_is_light():
    decoder = LightDecoder((128,) * 4, (8,) * 4, n_classes=4)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 193_860


def test_linear_decoder_gives_each_pixel_of_a_token_its_row():
    decoder = LinearDecoder(n_channels=3, stride=2, n_classes=2)
    token = torch.randn(3)
    maps = [torch.randn(1, 3, 4, 5) for _ in range(4)]
    maps[-1][0, :, 1, 2] = token
    logits = decoder(maps, (8, 10))
    assert logits.shape == (1, 2, 8, 10)
    rows = (decoder.head.weight[:, :, 0, 0] @ token + decoder.head.bias).view(
        2, 2, 2
    )  # class, y, x
    torch.testing.assert_close(logits[0, :, 2:4, 4:6], rows)
    again = decoder([torch.randn(1, 3, 4, 5) for _ in range(3)] + maps[-1:], (8, 10))
    assert torch.equal(again, logits)  # only the last tap counts


def test_delta_of_another_network_is_refused_and_changes_nothing():
    model = build()
    apply_method(model, methods.build("lora"), seed=0)
    before = delta_state(model)
    lacking = {name: value + 1 for name, value in before.items() if "blocks.2" not in name}
    with pytest.raises(
        ValueError, match=r"load_delta: 2 tensors are missing: backbone\.blocks\.2\..*lora_a"
    ):
        load_delta(model, lacking)
    with pytest.raises(ValueError, match=r"load_delta: 1 tensors are unexpected: decoder\.tail"):
        load_delta(model, before | {"decoder.tail": torch.zeros(1)})
    with pytest.raises(
        ValueError, match=r"load_delta: 1 tensors are of another shape: decoder\.head\.bias"
    ):
        load_delta(model, before | {"decoder.head.bias": torch.zeros(2)})
    assert all(torch.equal(value, before[name]) for name, value in delta_state(model).items())


def test_delta_holds_the_running_statistics_of_inserted_batch_norms():
    model = build()
    apply_method(model, methods.build("med_adapter"), seed=0)
    names = delta_state(model)
    assert sum(name.endswith("running_mean") for name in names) == 2 * 6
    assert not any(name.endswith("offset") for name in names)  # derived from the depth


def test_delta_is_a_copy():
    model = build()
    state = delta_state(model)
    with torch.no_grad():
        model.decoder.head.bias.add_(1)
    assert not torch.equal(state["decoder.head.bias"], model.decoder.head.bias)
