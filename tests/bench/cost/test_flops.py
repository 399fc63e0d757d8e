"""Multiply-accumulates against closed forms and torch's counter, and our two counters compared."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import methods
from bench.cost import mac_rules
from bench.cost.flops import MacCounter, count_compute, count_training, pass_both_ways
from bench.cost.inventory import NetworkShape
from bench.cost.traced_flops import count_forward
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from benchmarks.network.compute import ORDER, count_rows, format_table
from methods.executed import set_execution
from methods.execution import Execution

ROOT = Path(__file__).resolve().parents[3]
PATCH = (2, 32, 32)
TOKENS, WIDTH, BLOCKS = 197, 768, 12  # ViT-B/16 at 224x224, its class token included
VIT_B16_PUBLISHED = 17.58  # GMAC
VIT_B16_CLOSED = (
    BLOCKS * (12 * TOKENS * WIDTH**2 + 2 * TOKENS**2 * WIDTH) + 196 * WIDTH**2 + WIDTH * 1000
)


def build(method, backbone="tiny_vit", **settings):
    model = build_segmenter(Blueprint(backbone), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method, settings), seed=0)
    return model


@pytest.fixture(scope="module")
def vit_b16():
    with torch.device("meta"):  # no time spent on random numbers
        model = timm.create_model("vit_base_patch16_224")
    return model.to_empty(device="cpu").eval()


def set_fused(model, fused):
    for block in model.blocks:
        block.attn.fused_attn = fused


def count_by_dispatch(model, image):
    with torch.no_grad(), MacCounter() as counter:
        model(image)
    assert not counter.uncounted
    return counter.macs


@pytest.mark.parametrize("fused", [True, False])
def test_vit_b16_has_its_published_count(vit_b16, fused):
    set_fused(vit_b16, fused)
    image = torch.zeros(1, 3, 224, 224)
    gmac, unknown = count_forward(vit_b16, image)
    assert not unknown
    assert gmac * 1e9 == VIT_B16_CLOSED
    assert gmac == pytest.approx(VIT_B16_PUBLISHED, rel=0.005)
    assert count_by_dispatch(vit_b16, image) == VIT_B16_CLOSED


def test_attention_is_not_lost_in_a_fused_kernel(vit_b16):
    set_fused(vit_b16, True)
    image = torch.zeros(1, 3, 224, 224)
    with torch.no_grad(), FlopCounterMode(display=False) as by_torch:
        vit_b16(image)  # on a CPU torch's counter has no rule for the fused kernel
    missed = VIT_B16_CLOSED - by_torch.get_total_flops() / 2
    assert missed in (0, BLOCKS * 2 * TOKENS**2 * WIDTH)
    set_fused(vit_b16, False)
    with torch.no_grad(), FlopCounterMode(display=False) as by_torch:
        vit_b16(image)
    assert by_torch.get_total_flops() == 2 * VIT_B16_CLOSED


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_two_counters_agree_and_know_every_operation(backbone, method):
    model = build(method, backbone).eval()
    volume = torch.randn(1, 2, *PATCH)
    gmac, unknown = count_forward(model, volume)
    assert not unknown
    assert gmac * 1e9 == pytest.approx(count_by_dispatch(model, volume), rel=1e-12)
    assert not count_training(pass_both_ways(model), volume)[1]


@pytest.mark.parametrize("method", ["full", "lora", "vpt_deep"])
def test_training_counts_are_those_of_torch_without_fused_attention(method):
    model, volume = build(method), torch.randn(1, 2, *PATCH)
    fused = count_training(pass_both_ways(model), volume)[0]
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    assert count_training(pass_both_ways(model), volume)[0] == fused
    with FlopCounterMode(display=False) as by_torch:
        logits = model.train()(volume)
        logits.backward(torch.ones_like(logits))
    assert fused * 1e9 == by_torch.get_total_flops() / 2


def test_what_needs_no_gradient_costs_no_backward():
    rows = [("linear", {}), ("lora", {"blocks": "last_half"}), ("lora", {}), ("full", {})]
    counts = [
        count_compute(build(name, **settings), torch.randn(1, 2, *PATCH)) for name, settings in rows
    ]
    linear, last_half, everywhere, full = (count.training_gflop for count in counts)
    assert linear < last_half < everywhere < full
    assert (
        counts[0].forward_gflop
        == counts[3].forward_gflop
        < counts[1].forward_gflop
        < counts[2].forward_gflop
    )


@pytest.mark.parametrize(
    ("x_trains", "weight_trains", "expected"),
    [(False, False, 1), (False, True, 2), (True, False, 2), (True, True, 3)],
)
def test_backward_of_one_layer_is_what_is_asked_for(x_trains, weight_trains, expected):
    layers = {
        5 * 7 * 11: (nn.Linear(7, 11), torch.zeros(5, 7)),
        2 * 8 * 3 * 9 * 36: (nn.Conv2d(6, 8, 3, padding=1, groups=2), torch.zeros(2, 6, 6, 6)),
        2 * 6 * 8 * 4 * 36: (nn.ConvTranspose2d(6, 8, 2, stride=2), torch.zeros(2, 6, 6, 6)),
        3 * 6 * 25 * 36: (nn.Conv2d(6, 6, 5, padding=2, groups=6), torch.zeros(3, 6, 6, 6)),
    }
    for forward, (layer, x) in layers.items():
        layer.weight.requires_grad_(weight_trains)
        layer.bias.requires_grad_(True)  # a sum: free
        with MacCounter() as counter:
            layer(x.requires_grad_(x_trains)).sum().backward()
        assert counter.macs == expected * forward


class Transform(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: torch.fft.rfft(x).real, 2.5 * 96 * 3 / 2),
        (lambda x: torch.fft.fft(torch.complex(x, x), dim=1).real, 2.5 * 96 * 2),
        (lambda x: torch.fft.ifft(x, dim=1).abs(), 2.5 * 96 * 2 / 2),  # of a real signal
        (lambda x: torch.fft.fftn(torch.complex(x, x), dim=(1, 2)).real, 2.5 * 96 * 5),
        (lambda x: torch.einsum("bij,ik->bkj", x, torch.ones(4, 5)), 3 * 4 * 8 * 5),
        (
            lambda x: torch.einsum("bij,ik->bkj", torch.complex(x, x), torch.ones(4, 5) + 0j).real,
            4 * 3 * 4 * 8 * 5,
        ),
        (lambda x: torch.ones(5, 4) @ x, 3 * 5 * 4 * 8),  # a product whose batch is broadcast
        (lambda x: torch.baddbmm(torch.zeros(1), x, x.mT), 3 * 4 * 8 * 4),
        (lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]), 3 * 2 * 4 * 4 * 8),
        (lambda x: F.layer_norm(F.gelu(x).softmax(-1) * 2, (8,)), 0),
    ],
)
def test_single_operations(function, expected):
    model, x = Transform(function).eval(), torch.randn(3, 4, 8)
    assert count_forward(model, x) == (expected / 1e9, {})
    assert count_by_dispatch(model, x) == expected


@pytest.mark.parametrize(
    "kernel",
    [
        "flash_attention",
        "flash_attention_for_cpu",
        "efficient_attention",
        "cudnn_attention",
        "fused_attention_overrideable",
    ],
)
def test_fused_kernels_count_alike(kernel):
    query = torch.empty(2, 3, 5, 7, device="meta")
    key = torch.empty(2, 3, 11, 7, device="meta")
    value = torch.empty(2, 3, 11, 13, device="meta")
    expected = 2 * 3 * 5 * 11 * (7 + 13)
    forward = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}").default
    assert mac_rules.count_macs(forward, (query, key, value), {}, ()) == expected
    backward = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}_backward").default
    gradient = torch.empty(2, 3, 5, 13, device="meta")
    assert mac_rules.count_macs(backward, (gradient, query, key, value), {}, ()) == 2 * expected


def test_an_unknown_operation_is_named_by_both_counters():
    model = Transform(
        lambda x: torch.cumsum(x, 1) + torch.linalg.inv(x @ x.mT + torch.eye(4)).sum()
    )
    model.scale = nn.Parameter(torch.ones(()))
    model.function = lambda x, function=model.function: function(x * model.scale)
    compute = count_compute(model, torch.randn(3, 4, 8))
    assert "aten::cumsum x 2" in compute.uncounted  # its gradient is one, too
    assert "aten::eye" not in " ".join(compute.uncounted)
    assert any(name.startswith("aten::linalg_inv x") for name in compute.uncounted)


def test_a_function_written_in_python_is_named():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x @ x.mT

    _, unknown = count_forward(Transform(Square.apply).eval(), torch.randn(4, 4))
    assert list(unknown) == ["prim::PythonOp.Square"]


def test_free_operations_exist():
    assert mac_rules.is_free("aten::add_")
    assert mac_rules.is_free("aten::gelu_backward")
    assert mac_rules.is_free("aten::transpose")
    assert not mac_rules.is_free("aten::no_such_operation")
    counted = [packet.__name__ for packet in [*mac_rules.OWN_RULES, *flop_registry]]
    assert len(counted) > 30
    for name in [*counted, "cumsum", "linalg_inv", "_cdist_forward"]:
        assert not mac_rules.is_free(f"aten::{name}")


def test_counting_leaves_the_network_as_it_was():
    model = build("med_adapter").train()
    before = copy.deepcopy({name: value for name, value in model.named_parameters()})
    count_compute(model, torch.randn(1, 2, *PATCH))
    assert model.training
    assert not model.backbone.blocks[0].block.training  # frozen modules stay in evaluation mode
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_computing_again_is_counted():
    model, volume = build("lora"), torch.randn(1, 2, *PATCH)
    plain = count_compute(model, volume)
    set_execution(model, Execution(checkpointing=True))
    again = count_compute(model, volume)
    assert again.forward_gflop == plain.forward_gflop
    assert plain.training_gflop < again.training_gflop < plain.training_gflop + plain.forward_gflop


def test_networks_without_data_count_alike():
    volume = torch.zeros(1, 2, *PATCH)
    for name in ("full", "med_adapter"):
        with torch.device("meta"):
            empty = build(name)
        assert count_training(pass_both_ways(empty), volume.to("meta")) == count_training(
            pass_both_ways(build(name)), volume
        )


def test_tokens_in_front_of_the_patches_are_counted():
    """Timm's test ViT has 6 blocks of width 64 and MLPs three times as wide; 2 x 2 patches."""
    counts = {}
    for prefix_tokens in ("keep", "drop"):
        blueprint = Blueprint("timm:test_vit", prefix_tokens=prefix_tokens)
        model = build_segmenter(blueprint, in_channels=2, n_classes=3, patch=PATCH, seed=0)
        apply_method(model, methods.build("linear"), seed=0)
        counts[prefix_tokens] = count_compute(model, torch.randn(1, 2, *PATCH))
    per_slice = 6 * (10 * 64**2 + 2 * 64 * (5**2 - 4**2))
    difference = 2 * 2 * per_slice / 1e9  # GFLOP of two slices
    forward = counts["keep"].forward_gflop - counts["drop"].forward_gflop
    training = counts["keep"].training_gflop - counts["drop"].training_gflop
    assert forward == pytest.approx(difference)
    assert training == pytest.approx(difference)  # nothing in front of the decoder is trained


@pytest.mark.slow
def test_the_documented_table_is_that_of_the_code_and_in_order():
    """Every row is counted anew, for ViT-B/16 and the patch of the table."""
    documented = (ROOT / "docs" / "measuring.md").read_text()
    rows = count_rows(NetworkShape("vit_b16", prefix_tokens="drop"))
    assert "\n".join(format_table(rows)) in documented
    training = [rows[name].training_gflop for name in ORDER]
    assert training == sorted(training)
    assert len(set(training)) == len(ORDER) == 4
    assert not any(row.uncounted for row in rows.values())
