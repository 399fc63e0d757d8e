"""ST-Adapter, AIM and MA-SAM against their equations, with literal 3-D convolutions."""

import pytest
import torch
from torch.nn import functional as F

import methods
from methods.low_rank.fact import FactLinear
from methods.volumetric.aim import DepthAttention, DepthEmbedding, MlpAdapter, SkipAdapter
from methods.volumetric.ma_sam import DenseDepthAdapter
from methods.volumetric.st_adapter import DepthAdapter


def find(pair, kind):
    return [module for module in pair.backbone.modules() if type(module) is kind]


def conv_along_depth(pair, x, conv, groups):
    kernel = conv.weight[..., None]  # (h, .., 3, 1, 1)
    return pair.on_volumes(
        x, lambda v: F.conv3d(v, kernel, conv.bias, padding=(1, 0, 0), groups=groups)
    )


@pytest.mark.parametrize("placement", ["mlp", "both"])
def test_st_adapter_changes_the_stream_in_front_of_the_norms(placement, pair):
    pair.apply(methods.build("st_adapter", {"placement": placement}))
    adapters = find(pair, DepthAdapter)

    def adapt(x, adapter):
        z = adapter.down(x)
        z = conv_along_depth(pair, z, adapter.conv, groups=z.shape[-1])
        return x + adapter.up(z)

    def step(index, block, x):
        if placement == "both":
            x = adapt(x, adapters[2 * index])
        x = x + pair.attend(block, x)
        x = adapt(x, adapters[2 * index + 1] if placement == "both" else adapters[index])
        return x + block.mlp(block.norm2(x))

    pair.assert_equal(pair.run(step))


def test_ma_sam_has_dense_convolutions_and_fact_on_query_and_value(pair):
    pair.apply(methods.build("ma_sam", {"rank": 3, "dropout": 0.0}))
    adapters, layers = find(pair, DenseDepthAdapter), list_fact(pair)
    assert len(adapters) == 2 * len(layers)

    def adapt(x, adapter):
        norm = adapter.norm
        z = adapter.down(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias))
        z = conv_along_depth(pair, z, adapter.conv, groups=1)
        return x + adapter.up(F.gelu(z))

    def step(index, block, x):
        layer = layers[index]
        weights = dict(block.named_parameters())
        rows = list(weights["attn.qkv.weight"].chunk(3))
        u, v = layer.shared.down.weight, layer.shared.up.weight
        for number, part in enumerate((0, 2)):
            rows[part] = rows[part] + v @ layer.cores.matrices[number] @ u
        tensors = {"attn.qkv.weight": torch.cat(rows)}
        x = adapt(x, adapters[2 * index])
        attended = torch.func.functional_call(Attention(pair, block), rename(tensors), (x,))
        x = adapt(x + attended, adapters[2 * index + 1])
        return x + block.mlp(block.norm2(x))

    pair.assert_equal(pair.run(step))


class Attention(torch.nn.Module):
    """A block's attention behind its norm, as a module."""

    def __init__(self, pair, block):
        super().__init__()
        self.block = block
        self.attend = pair.attend

    def forward(self, x):
        return self.attend(self.block, x)


def rename(tensors):
    return {f"block.{name}": tensor for name, tensor in tensors.items()}


def list_fact(pair):
    return [module for module in pair.backbone.modules() if isinstance(module, FactLinear)]


def attend_along_depth(pair, block, z):
    """Return the block's attention of every token with those at its place in other slices."""
    attn, shape = block.attn, z.shape
    heads, width = attn.num_heads, shape[-1]
    z = z.reshape(pair.batch, pair.depth, -1, width)
    y = torch.zeros_like(z)
    for place in range(z.shape[2]):
        qkv = F.linear(z[:, :, place], attn.qkv.weight, attn.qkv.bias)
        q, k, v = qkv.chunk(3, dim=-1)  # (B, D, E)
        outputs = []
        for part in torch.arange(width).chunk(heads):
            scores = q[..., part] @ k[..., part].transpose(1, 2) / len(part) ** 0.5
            outputs.append(scores.softmax(dim=-1) @ v[..., part])
        y[:, :, place] = F.linear(torch.cat(outputs, -1), attn.proj.weight, attn.proj.bias)
    return y.reshape(shape)


def test_aim_attends_along_depth_first(pair):
    pair.apply(methods.build("aim", {"scale": 0.3}))
    deep, spatial, beside = (find(pair, kind) for kind in (DepthAttention, SkipAdapter, MlpAdapter))
    is_swin = len(spatial) == 7
    assert len(deep) == (4 if is_swin else 8)  # every second block of stages of 2, 2, 1, 2
    first_of_pairs = (0, 2, 4, 5)
    for name in ("weight", "bias"):
        trained = getattr(pair.backbone.norm, name)
        assert trained.requires_grad
        pair.put(f"norm.{name}", trained)
    (embedding,) = find(pair, DepthEmbedding)

    def bottleneck(h, adapter):
        return adapter.up(F.gelu(adapter.down(h)))

    def step(index, block, x):
        if not is_swin or index in first_of_pairs:
            number = first_of_pairs.index(index) if is_swin else index
            x = x + bottleneck(attend_along_depth(pair, block, block.norm1(x)), deep[number])
        h = pair.attend(block, x)
        x = x + h + bottleneck(h, spatial[index])
        z = block.norm2(x)
        return x + block.mlp(z) + 0.3 * bottleneck(z, beside[index])

    def start(x):
        of_slice = embedding.slices.expand(pair.batch, -1, -1).reshape(10, -1)
        return x + of_slice.reshape(10, *[1] * (x.ndim - 2), -1)

    pair.assert_equal(pair.run(step, start))


@pytest.mark.parametrize("name", ["st_adapter", "aim", "ma_sam"])
def test_slices_see_their_neighbours_and_volumes_do_not_mix(name, tuned, volume):
    model = tuned("tiny_vit", methods.build(name)).eval()
    for parameter in model.tuned_parameters().values():
        parameter.data.normal_(std=0.1)
    with torch.no_grad():
        together = model(volume)
        apart = torch.cat([model(volume[:1]), model(volume[1:])])
        torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)
        changed = volume.clone()
        changed[:, :, 0] += 1
        assert not torch.allclose(model(changed)[:, :, 1], together[:, :, 1], atol=1e-4)


def test_another_depth_is_refused_with_a_hint(tuned, volume):
    model = tuned("tiny_vit", methods.build("aim"))
    with pytest.raises(ValueError, match=r"aim: depth must be 3, got 2 \(one embedding per slice"):
        model(volume[:, :, :2])
    without = tuned("tiny_vit", methods.build("aim", {"embedding": False}))
    assert without(volume[:, :, :2]).shape[2] == 2


@pytest.mark.parametrize("name", ["st_adapter", "aim", "ma_sam"])
def test_a_ratio_above_the_width_is_refused(name, plain):
    backbone = plain("tiny_vit").backbone
    backbone.volume.depth = 3
    sentence = rf"{name}: ratio must be <= 128, the width of block 0, got 129"
    with pytest.raises(ValueError, match=sentence):
        methods.build(name, {"ratio": 129}).inject(backbone)
