"""LoRA against the same network with W + (alpha / rank) B A in its frozen layers."""

import pytest
import torch

import methods
from methods.low_rank.lora import LowRankUpdate

LAYERS = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
ADAPTED = {  # placement -> layer -> which parts of its rows, of how many
    "qv": {"qkv": ((0, 2), 3)},
    "qkv": {"qkv": ((0, 1, 2), 3)},
    "qkvo": {"qkv": ((0, 1, 2), 3), "proj": ((0,), 1)},
    "all": {"qkv": ((0, 1, 2), 3), "proj": ((0,), 1), "fc1": ((0,), 1), "fc2": ((0,), 1)},
}


def list_updates(backbone):
    """Return A (parts, R, in) and B (parts, out, R) of our adapted layers, block by block."""
    return [
        (module.lora_a, module.lora_b)
        for module in backbone.modules()
        if isinstance(module, LowRankUpdate)
    ]


@pytest.mark.parametrize("placement", ADAPTED)
def test_update_equals_merged_weights(placement, pair):
    pair.apply(methods.build("lora", {"rank": 3, "alpha": 6.0, "placement": placement}))
    updates = list_updates(pair.backbone)
    n_layers = len(ADAPTED[placement])
    assert len(updates) in (8 * n_layers, 7 * n_layers)

    def step(index, block, x):
        weights = dict(block.named_parameters())
        for place, (layer, (parts, n_parts)) in enumerate(ADAPTED[placement].items()):
            name = f"{LAYERS[layer]}.weight"
            a, b = updates[index * n_layers + place]
            rows = list(weights[name].chunk(n_parts))
            for number, part in enumerate(parts):
                rows[part] = rows[part] + 2.0 * b[number] @ a[number]
            weights[name] = torch.cat(rows)
        return torch.func.functional_call(block, weights, (x,))

    pair.assert_equal(pair.run(step))


def test_every_part_has_its_own_down_projection(plain):
    model = plain("tiny_vit")
    methods.build("lora").inject(model.backbone)
    a, b = list_updates(model.backbone)[0]
    assert (a.shape, b.shape) == ((2, 8, 128), (2, 128, 8))
    assert not torch.equal(a[0], a[1])
    assert a.abs().max().item() == pytest.approx(
        (1 / 128) ** 0.5, rel=0.01
    )  # Kaiming uniform with a = sqrt 5 and 128 inputs
    assert not b.any()


def test_a_rank_above_the_width_is_refused(plain):
    with pytest.raises(
        ValueError, match="lora: rank must be <= 128, the width of block 0, got 200"
    ):
        methods.build("lora", {"rank": 200}).inject(plain("tiny_vit").backbone)
