"""The setting ``blocks`` of every method: what it means, and what it saves."""

from functools import partial

import pytest
import torch

import methods
from bench.cost.flops import count_compute
from bench.cost.memory import count_saved_bytes
from methods.blocks import choose_blocks

ENDS = [False, True, True, False, True, True]  # of the tiny ViT's stages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", {0, 1, 2, 3, 4, 5}),
        ("first_2", {0, 1}),
        ("last_2", {4, 5}),
        ("last_6", {0, 1, 2, 3, 4, 5}),
        ("every_1", {0, 1, 2, 3, 4, 5}),
        ("every_2", {1, 3, 5}),
        ("every_4", {3}),
        ("2-4", {2, 3, 4}),
        ("3", {3}),
        ("last_half", {3, 4, 5}),
        ("last_in_stage", {1, 2, 4, 5}),
    ],
)
def test_a_text_means_these_blocks(text, expected):
    assert choose_blocks(text, ENDS) == expected


@pytest.mark.parametrize("text", ["first_7", "last_7", "every_7", "6", "2-6"])
def test_blocks_that_are_not_there_are_refused(text, plain):
    sentence = rf"lora: blocks must be within the 6 blocks 0-5, got {text} on tiny_vit"
    with pytest.raises(ValueError, match=sentence):
        methods.build("lora", {"blocks": text}).inject(plain("tiny_vit").backbone)


@pytest.mark.parametrize("text", ["some", "last_0", "last_", "4-2", "-1", "1,2", "first_2x"])
def test_a_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match=rf"lora: blocks must be one of all, .*, got {text}"):
        methods.build("lora", {"blocks": text})


@pytest.mark.parametrize("name", [name for name in methods.names() if name != "linear"])
@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_late_blocks_need_less_computing_and_keep_less(name, backbone, volume, tuned):
    """No gradient has to go through the blocks in front of the first tuned one."""
    training, saved = [], []
    for blocks in ("all", "last_1"):
        model = tuned(backbone, methods.build(name, {"blocks": blocks})).train()
        run = partial(model, volume)
        training.append(count_compute(model, volume[:1]).training_gflop)
        saved.append(count_saved_bytes(model.backbone, lambda run=run: run().sum()))
    assert training[1] < 0.8 * training[0]
    assert saved[1] < 0.7 * saved[0]


def test_prompts_travel_through_blocks_that_follow_one_another(tuned, plain):
    with pytest.raises(ValueError, match="vpt_shallow: blocks must follow one another"):
        methods.build("vpt_shallow", {"blocks": "every_2"}).inject(plain("tiny_vit").backbone)
    model = tuned("tiny_vit", methods.build("vpt_shallow", {"blocks": "2-3"}))
    lengths = []
    for block in model.backbone.blocks:
        inner = getattr(block, "inner", block)
        inner = getattr(inner, "inner", inner)
        inner.register_forward_pre_hook(lambda _module, x: lengths.append(x[0].shape[1]))
    model(torch.randn(1, 2, 3, 32, 32))
    assert lengths == [16, 16, 26, 26, 16, 16]


def test_only_linear_probing_has_no_blocks():
    for name in methods.names():
        if name != "linear":
            methods.build(name, {"blocks": "last_2"})
    with pytest.raises(ValueError, match=r"linear: blocks must be all, got last_2 \(no block has"):
        methods.build("linear", {"blocks": "last_2"})
