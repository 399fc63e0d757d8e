"""LoRA against the peft library, on linear layers that are not fused."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from methods.low_rank.lora import LowRankUpdate

RANK, ALPHA = 4, 10.0


@pytest.fixture
def layers() -> nn.ModuleDict:
    """Two frozen linear layers of different shape, as query and value of an attention."""
    generator = torch.Generator().manual_seed(0)
    plain = (
        nn.ModuleDict({"query": nn.Linear(24, 40), "value": nn.Linear(40, 12)})
        .double()
        .requires_grad_(False)
    )
    for parameter in plain.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return plain


def run(model: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    return model["value"](torch.tanh(model["query"](x)))


def test_forward_and_gradients_equal_pefts(layers):
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["query", "value"])
    theirs = inject_adapter_in_model(config, copy.deepcopy(layers)).double()
    ours = nn.ModuleDict(
        {
            name: LowRankUpdate(
                layer, n_parts=1, adapted=(0,), rank=RANK, scale=ALPHA / RANK, dropout=0.0
            )
            for name, layer in layers.items()
        }
    ).double()
    generator = torch.Generator().manual_seed(1)
    pairs = []  # ours, peft's
    for name in layers:
        peft_layer = theirs[name]
        for mine, other in (
            (ours[name].lora_a, peft_layer.lora_A["default"].weight),
            (ours[name].lora_b, peft_layer.lora_B["default"].weight),
        ):
            other.data = torch.randn(other.shape, generator=generator, dtype=torch.float64)
            mine.data = other.data[None].clone()
            pairs.append((mine, other))

    x = torch.randn(3, 7, 24, generator=generator, dtype=torch.float64)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [run(model, each) for model, each in zip((ours, theirs), inputs, strict=True)]
    assert (outputs[0] - run(layers, x)).abs().max() > 1  # the updates matter
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)

    weights = torch.randn(outputs[0].shape, generator=generator, dtype=torch.float64)
    for output in outputs:
        (weights * output).sum().backward()
    assert [
        name for name, p in theirs.named_parameters() if p.requires_grad and p.grad is None
    ] == []
    for mine, other in [*pairs, tuple(inputs)]:
        assert other.grad.abs().max() > 1e-3
        torch.testing.assert_close(
            mine.grad.reshape(other.shape), other.grad, rtol=1e-12, atol=1e-12
        )


def test_merged_weights_equal_pefts(layers):
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["value"])
    theirs = inject_adapter_in_model(config, copy.deepcopy(layers)).double()["value"]
    ours = LowRankUpdate(
        layers["value"], n_parts=1, adapted=(0,), rank=RANK, scale=ALPHA / RANK, dropout=0.0
    ).double()
    generator = torch.Generator().manual_seed(2)
    for mine, other in (
        (ours.lora_a, theirs.lora_A["default"].weight),
        (ours.lora_b, theirs.lora_B["default"].weight),
    ):
        other.data = torch.randn(other.shape, generator=generator, dtype=torch.float64)
        mine.data = other.data[None].clone()
    before = ours.weight.clone()
    ours.merge()
    theirs.merge()
    assert (ours.weight - before).abs().max() > 1
    torch.testing.assert_close(ours.weight, theirs.get_base_layer().weight, rtol=1e-12, atol=1e-12)
