"""FacT and ARENA against the same network with their updates in its weights."""

import pytest
import torch
from torch import nn

import methods
from bench.models.contract import train
from methods.low_rank.arena import SparseRankUpdate
from methods.low_rank.fact import FactLinear

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
N_MATRICES = {"attn.qkv": 3, "attn.proj": 1, "mlp.fc1": 4, "mlp.fc2": 4}


def small_matrices(name, layer, used):
    """Return S of each matrix of a layer; Tucker's columns are used up in the order of layers."""
    if name == "fact_tt":
        return list(layer.cores.matrices)
    tucker = layer.cores.tucker
    first = used.setdefault(id(tucker), 0)
    n_matrices = N_MATRICES[LAYERS[len(used["layers"]) % 4]]
    used[id(tucker)] += n_matrices
    return [
        sum(tucker.mixtures[k, first + n] * tucker.core[k] for k in range(len(tucker.core)))
        for n in range(n_matrices)
    ]


@pytest.mark.parametrize("name", ["fact_tt", "fact_tk"])
def test_updates_share_what_is_around_the_small_matrices(name, pair):
    pair.apply(methods.build(name, {"rank": 3, "scale": 0.5, "dropout": 0.0}))
    modules = [each for each in pair.backbone.modules() if isinstance(each, FactLinear)]
    widths = {module.shared.down.in_features for module in modules}
    assert len({id(module.shared) for module in modules}) == len(widths)
    used = {"layers": []}
    updates = []
    for module in modules:
        matrices = small_matrices(name, module, used)
        used["layers"].append(module)
        u, v = module.shared.down.weight, module.shared.up.weight
        updates.append([0.5 * v @ matrix @ u for matrix in matrices])

    def step(index, block, x):
        weights = dict(block.named_parameters())
        for place, layer in enumerate(LAYERS):
            own = updates[4 * index + place]
            assert len(own) == N_MATRICES[layer]
            update = torch.cat(own, dim=1 if layer == "mlp.fc2" else 0)
            weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + update
        return torch.func.functional_call(block, weights, (x,))

    pair.assert_equal(pair.run(step))


def test_an_mlp_of_another_ratio_is_refused(plain):
    backbone = plain("tiny_vit").backbone
    backbone.blocks[2].mlp_branch.inner.fc1 = nn.Linear(128, 300)
    with pytest.raises(ValueError, match="layers must be a multiple of the width 128, got 300"):
        methods.build("fact_tt").inject(backbone)


def test_arena_puts_a_diagonal_between(pair):
    pair.apply(methods.build("arena", {"rank": 3}))
    modules = [each for each in pair.backbone.modules() if isinstance(each, SparseRankUpdate)]

    def step(index, block, x):
        weights = dict(block.named_parameters())
        rows = list(weights["attn.qkv.weight"].chunk(3))
        module = modules[index]
        for number, part in enumerate((0, 2)):
            v = torch.diag(module.diagonal[number])
            rows[part] = rows[part] + module.lora_b[number] @ v @ module.lora_a[number]
        weights["attn.qkv.weight"] = torch.cat(rows)
        return torch.func.functional_call(block, weights, (x,))

    pair.assert_equal(pair.run(step))


def test_the_proximal_step_shrinks_and_stops_at_zero():
    update = SparseRankUpdate(nn.Linear(6, 18), rank=4, penalty=0.5, dropout=0.0)
    update.diagonal.data[0] = torch.tensor([1.0, -1.0, 0.04, -0.05])
    update.diagonal.data[1] = 0.0
    update.after_step(lr=0.1)
    assert update.diagonal[0].tolist() == pytest.approx([0.95, -0.95, 0.0, 0.0], abs=1e-7)
    assert not update.diagonal[1].any()
    assert update.describe() == {"rank": 2}


def test_training_finds_a_rank(tuned, volume):
    model = tuned("tiny_vit", methods.build("arena", {"rank": 4, "penalty": 20.0}))
    train(model, volume, 6)  # at a rate of 0.01: five steps of 0.2 take 1 to 0
    modules = [each for each in model.modules() if isinstance(each, SparseRankUpdate)]
    assert len(modules) == 6
    assert all(module.describe() == {"rank": 0} for module in modules)
