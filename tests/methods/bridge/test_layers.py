"""What the bridge does in a backbone: against our own LoRA, and where a layer has no effect."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import methods
from bench.models.contract import Subject, check_effect, check_merge, predict, train
from methods.bridge.layers import Bridged
from methods.low_rank.lora import LowRankUpdate


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_lora_of_peft_is_our_own_with_one_a_for_query_key_and_value(backbone):
    theirs = Subject(methods.build("peft:lora", {"r": 4, "lora_alpha": 6}), backbone)
    ours = Subject(methods.build("lora", {"rank": 4, "alpha": 6, "placement": "qkv"}), backbone)
    models = theirs.build_tuned(), ours.build_tuned()
    layers = [each for each in models[0].modules() if isinstance(each, Bridged)]
    updates = [each for each in models[1].modules() if isinstance(each, LowRankUpdate)]
    assert len(layers) == len(updates) >= 6
    for layer, update in zip(layers, updates, strict=True):
        b = layer.layer.lora_B["default"].weight
        nn.init.normal_(b, std=0.1)
        a = layer.layer.lora_A["default"].weight
        update.lora_a.data = a.data.expand(3, -1, -1).clone()
        update.lora_b.data = b.data.reshape(update.lora_b.shape).clone()
    volume = ours.make_volume()
    frozen = predict(ours.build_plain(), volume)
    first, second = (predict(model, volume) for model in models)
    assert float((first - frozen).abs().max()) > 1e-2
    torch.testing.assert_close(first, second)

    for model in models:  # the gradient of the shared A is the sum of those of the three
        model(volume).square().mean().backward()
    for layer, update in zip(layers, updates, strict=True):
        a = layer.layer.lora_A["default"].weight.grad
        torch.testing.assert_close(a, update.lora_a.grad.sum(dim=0), rtol=1e-3, atol=1e-6)


def test_a_layer_that_is_read_but_not_called_is_found():
    class Reading(Subject):
        """As in attentions that compute with ``qkv.weight`` themselves."""

        def apply_to(self, model, seed=0):
            super().apply_to(model, seed)
            attention = model.backbone.blocks[1].attn_branch.inner
            frozen = attention.qkv.layer.get_base_layer()
            attention.qkv.forward = lambda x: F.linear(x, frozen.weight, frozen.bias)

    method = methods.build("peft:dora")
    assert check_effect(Subject(method)) is None
    fault = check_effect(Reading(method))
    assert fault == "perturbed, these do not change the output: blocks.1.attn_branch.inner.qkv"


def test_unmerging_is_exact_where_the_library_cannot():
    assert check_merge(Subject(methods.build("peft:osf"))) is None


def test_adalora_gives_up_rank_as_its_budget_says():
    given = {"init_r": 6, "target_r": 2, "total_step": 4}
    subject = Subject(methods.build("peft:adalora", given))
    model = subject.build_tuned()
    train(model, subject.make_volume(), 5)
    layers = [each.layer for each in model.modules() if isinstance(each, Bridged)]
    kept = [int(layer.lora_E["default"].count_nonzero()) for layer in layers]
    assert sum(kept) == 2 * len(layers)
    assert int(model.backbone.state_dict()["blocks.0.attn_branch.inner.qkv.companion.step"]) == 5
