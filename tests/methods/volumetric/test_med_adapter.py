"""Med-Adapter against the paper's formula with literal 3-D convolutions and Fourier transforms."""

import pytest
import torch

import methods
from benchmarks.network.med_adapter import N_BLOCKS, fourier, literal_adapter
from benchmarks.network.operations import count
from methods.volumetric.med_adapter import Adapter


def test_adapters_equal_the_formula(pair):
    pair.apply(methods.build("med_adapter"))
    pair.backbone.train()
    adapters = [module for module in pair.backbone.modules() if isinstance(module, Adapter)]
    assert sum(adapter.link is not None for adapter in adapters) == 4
    memory = None

    def step(index, block, x):
        nonlocal memory
        grid = x.shape[1:3] if x.ndim == 4 else (4, 6)
        x = block(x)
        y, memory = literal_adapter(
            x.reshape(10, -1, x.shape[-1]), adapters[index], memory, (2, 5, *grid)
        )
        return y.reshape(x.shape)

    pair.assert_equal(pair.run(step))


def test_uneven_frequency_weights_need_the_complex_result(vit_pair):
    """With weights that are not even in frequency, a real inverse transform would be wrong."""
    vit_pair.apply(methods.build("med_adapter"))
    branch = vit_pair.backbone.blocks[0].adapter.branches[-1]
    z = torch.randn(2, 5, 4, 6, 8, dtype=torch.float64)  # (B, D, gh, gw, h)
    expected = fourier(z.permute(0, 4, 1, 2, 3), branch).permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(branch(z), expected, rtol=1e-12, atol=1e-14)
    spectrum = torch.fft.rfft(z, dim=1) * branch.weight[: 5 // 2 + 1, None, None, None]
    real_only = torch.fft.irfft(spectrum, n=5, dim=1).abs()
    assert (real_only - expected).abs().max() > 0.1


def test_fourier_branch_has_finite_gradients_at_zero(vit_pair):
    vit_pair.apply(methods.build("med_adapter"))
    branch = vit_pair.backbone.blocks[0].adapter.branches[-1]
    z = torch.zeros(1, 5, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    branch(z).sum().backward()
    assert z.grad.isfinite().all()
    assert branch.bias.grad.isfinite().all()


def test_another_depth_is_refused_with_a_hint(tuned, volume):
    model = tuned("tiny_vit", methods.build("med_adapter"))
    with pytest.raises(
        ValueError, match=r"med_adapter: depth must be 3, got 2 \(one Fourier weight per slice"
    ):
        model(volume[:, :, :2])
    without = tuned("tiny_vit", methods.build("med_adapter", {"fourier": False}))
    assert without(volume[:, :, :2]).shape[2] == 2


def test_what_cannot_be_built_is_said_in_a_sentence(plain):
    off = {"fourier": False, "conv3": False, "conv5": False}
    with pytest.raises(
        ValueError, match="med_adapter: at least one of fourier, conv3, conv5 must be true"
    ):
        methods.build("med_adapter", off)
    with pytest.raises(
        ValueError, match="med_adapter: ratio must be <= 64, half the width, got 65"
    ):
        methods.build("med_adapter", {"ratio": 65}).inject(plain("tiny_vit").backbone)
    backbone = plain("tiny_vit").backbone
    backbone.volume.depth = 0
    with pytest.raises(
        ValueError, match=r"med_adapter: .*volume\.depth must be set before injection"
    ):
        methods.build("med_adapter").inject(backbone)


def test_volumes_of_a_batch_do_not_mix(tuned, volume):
    model = tuned("tiny_vit", methods.build("med_adapter")).eval()
    with torch.no_grad():
        together = model(volume)
        apart = torch.cat([model(volume[:1]), model(volume[1:])])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_fourier_branch_sorts_and_copies_nothing():
    """On a GPU the gradient of an index is a sort; that of a change in place copies all parts."""
    forward, backward = count(4, in_bf16=False)
    assert forward.calls["index_select"] == backward.calls["index_add"] == N_BLOCKS
    assert {"index_put", "index_put_", "slice_backward"}.isdisjoint(backward.calls)
