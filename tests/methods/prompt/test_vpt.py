"""Visual prompt tuning on ViT against the paper's equations on timm's own blocks."""

import math

import pytest
import torch

import methods


def test_shallow_prompts_travel_through_all_blocks(vit_pair):
    vit_pair.apply(methods.build("vpt_shallow", {"n_prompts": 3}))
    (prompts,) = vit_pair.tuned()

    def start(x):
        return torch.cat([prompts.expand(10, 3, 48), x], dim=1)

    vit_pair.assert_equal(vit_pair.run(lambda _, block, x: block(x), start))


def test_shallow_prompts_are_cut_off_behind_the_last_of_their_blocks(vit_pair):
    vit_pair.apply(methods.build("vpt_shallow", {"n_prompts": 3, "blocks": "2-4"}))
    (prompts,) = vit_pair.tuned()

    def step(index, block, x):
        if index == 2:
            x = torch.cat([prompts.expand(10, 3, 48), x], dim=1)
        x = block(x)
        return x[:, 3:] if index == 4 else x

    vit_pair.assert_equal(vit_pair.run(step))


def test_deep_prompts_are_new_in_every_block(vit_pair):
    vit_pair.apply(methods.build("vpt_deep", {"n_prompts": 3}))
    prompts = vit_pair.tuned()
    assert len(prompts) == 8

    def step(index, block, x):
        return block(torch.cat([prompts[index].expand(10, 3, 48), x], dim=1))[:, 3:]

    vit_pair.assert_equal(vit_pair.run(step))


@pytest.mark.parametrize("name", ["vpt_shallow", "vpt_deep"])
def test_prompts_start_uniform_in_the_range_of_the_paper(name, plain):
    model = plain("tiny_vit")
    limit = math.sqrt(6 / (3 * 8 * 8 + 128))
    methods.build(name, {"n_prompts": 200}).inject(model.backbone)
    found = [
        value for key, value in model.backbone.named_parameters() if key.endswith("prompts.tokens")
    ]
    assert len(found) == (1 if name == "vpt_shallow" else 6)
    for tokens in found:
        assert 0.99 * limit < tokens.max() <= limit
        assert -limit <= tokens.min() < -0.99 * limit
        assert tokens.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
