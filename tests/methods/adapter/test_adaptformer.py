"""AdaptFormer against the paper's equation on timm's own blocks."""

import math

import pytest
import torch

import methods


def test_bottleneck_runs_beside_the_mlp_before_its_norm(pair):
    pair.apply(methods.build("adaptformer", {"bottleneck": 7, "scale": 0.3, "dropout": 0.0}))
    tensors = pair.tuned()
    assert len(tensors) in (4 * 8, 4 * 7)

    def step(index, block, x):
        down, down_bias, up, up_bias = tensors[4 * index : 4 * index + 4]
        x = x + pair.attend(block, x)
        side = torch.relu(x @ down.T + down_bias) @ up.T + up_bias
        return x + block.mlp(block.norm2(x)) + 0.3 * side

    pair.assert_equal(pair.run(step))


def test_only_the_way_down_starts_at_random(plain):
    model = plain("tiny_vit")
    method = methods.build("adaptformer")
    method.inject(model.backbone)
    values = {key: value for key, value in model.backbone.named_parameters() if ".adapter." in key}
    assert len(values) == 4 * 6
    bound = math.sqrt(1 / 128)  # Kaiming uniform with a = sqrt 5 and 128 inputs
    for key, value in values.items():
        if key.endswith("down.weight"):
            assert value.shape == (64, 128)
            assert value.abs().max().item() == pytest.approx(bound, rel=0.01)
        else:
            assert not value.any()
