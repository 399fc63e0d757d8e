"""Houlsby, Pfeiffer and Adapter+ against their equations on timm's own blocks."""

import pytest
import torch
from torch.nn import functional as F

import methods


def bottleneck(h, tensors, activation):
    down, down_bias, up, up_bias = tensors
    return activation(h @ down.T + down_bias) @ up.T + up_bias


def test_houlsby_is_behind_both_branches(pair):
    pair.apply(methods.build("houlsby", {"bottleneck": 5}))
    tensors = pair.tuned()

    def step(index, block, x):
        first, second = tensors[8 * index : 8 * index + 4], tensors[8 * index + 4 : 8 * index + 8]
        h = pair.attend(block, x)
        x = x + h + bottleneck(h, first, F.gelu)
        h = block.mlp(block.norm2(x))
        return x + h + bottleneck(h, second, F.gelu)

    pair.assert_equal(pair.run(step))


def test_pfeiffer_is_behind_the_mlp(pair):
    pair.apply(methods.build("pfeiffer", {"bottleneck": 5}))
    tensors = pair.tuned()

    def step(index, block, x):
        x = x + pair.attend(block, x)
        h = block.mlp(block.norm2(x))
        return x + h + bottleneck(h, tensors[4 * index : 4 * index + 4], torch.relu)

    pair.assert_equal(pair.run(step))


def test_adapter_plus_is_behind_the_block_with_a_scale_a_channel(pair):
    pair.apply(methods.build("adapter_plus", {"bottleneck": 5, "drop_path": 0.0}))
    tensors = pair.tuned()

    def step(index, block, x):
        gamma, *rest = tensors[5 * index : 5 * index + 5]
        x = block(x)
        return x + gamma * bottleneck(x, rest, F.gelu)

    pair.assert_equal(pair.run(step))


@pytest.mark.parametrize(
    ("name", "std", "largest"),
    [("houlsby", 0.0088, 0.02), ("pfeiffer", 0.02, 0.2), ("adapter_plus", 0.0088, 0.02)],
)
def test_weights_start_as_in_the_papers(name, std, largest, plain):
    """A normal distribution cut off at two deviations has 0.880 of its deviation."""
    backbone = plain("tiny_vit").backbone
    methods.build(name).inject(backbone)
    named = dict(backbone.named_parameters())
    own = {key: value for key, value in named.items() if ".adapter." in key}
    weights = torch.cat([value.flatten() for value in own.values() if value.ndim == 2])
    assert weights.std().item() == pytest.approx(std, rel=0.03)
    assert weights.abs().max() <= largest
    assert not any(value.any() for key, value in own.items() if key.endswith("bias"))


def test_dropped_adapters_leave_whole_slices_unchanged(tuned, volume):
    model = tuned("tiny_vit", methods.build("adapter_plus", {"drop_path": 0.5})).train()
    adapter = model.backbone.blocks[0].adapter
    x = torch.randn(64, 16, 128)
    torch.manual_seed(0)
    changed = (adapter(x) != x).flatten(1).any(dim=1)
    assert 0 < changed.sum() < 64
