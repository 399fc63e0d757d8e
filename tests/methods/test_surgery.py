from __future__ import annotations

import torch

import methods
from bench.models.contract import predict
from bench.models.delta import copy_tensors
from methods import surgery
from methods.base import find_sites
from methods.sites import Role

ALL = ["vpt_shallow", "vpt_deep", "lora", "adaptformer", "med_adapter"]


def test_methods_compose_in_any_order(plain, volume):
    counts = set()
    for order in (ALL, ALL[::-1]):
        model = plain("tiny_vit")
        expected = sum(methods.build(name).expected_tuned(model.backbone) for name in order)
        surgery.freeze(model.backbone)
        for name in order:
            methods.build(name).inject(model.backbone)
        assert sum(parameter.numel() for parameter in model.tuned_parameters().values()) == expected
        model.train()(volume).square().mean().backward()
        silent = [
            name for name, parameter in model.tuned_parameters().items() if parameter.grad is None
        ]
        assert [name.rsplit(".", 2)[-2] for name in silent] == ["first_transform"]
        counts.add(expected)
    assert len(counts) == 1


def test_a_site_follows_what_was_put_there(plain):
    backbone = plain("tiny_vit").backbone
    block, qkv = (find_sites(backbone, role)[3] for role in (Role.BLOCK, Role.QKV))
    original = qkv.module
    surgery.wrap(block, lambda module: torch.nn.Sequential(module))
    surgery.wrap(qkv, lambda module: torch.nn.Sequential(module))
    assert isinstance(backbone.blocks[3], torch.nn.Sequential)
    assert qkv.module[0] is original
    surgery.replace(qkv, original)
    assert backbone.blocks[3][0].attn_branch.inner.qkv is original


def test_two_around_one_layer_merge_from_the_inside_and_are_undone(plain, volume):
    model = plain("tiny_vit")
    surgery.freeze(model.backbone)
    for name in ("lora", "ssf"):
        methods.build(name).inject(model.backbone)
    for parameter in model.tuned_parameters().values():
        parameter.data += 0.1 * torch.randn_like(parameter)
    before, separate = copy_tensors(model.backbone.state_dict()), predict(model, volume)
    surgery.merge(model.backbone)
    torch.testing.assert_close(predict(model, volume), separate, rtol=1e-4, atol=1e-4)
    surgery.unmerge(model.backbone)
    after = model.backbone.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(predict(model, volume), separate)


def test_unfreeze_undoes_freeze(plain):
    backbone = plain("tiny_vit").backbone
    surgery.freeze(backbone)
    backbone.train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert {module.training for module in list(backbone.modules())[1:]} == {False}
    surgery.unfreeze(backbone)
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert all(module.training for module in backbone.modules())


def test_no_graph_is_built_for_frozen_parts(plain, volume):
    model = plain("tiny_vit")
    surgery.freeze(model.backbone)
    slices = volume.transpose(1, 2).flatten(0, 1)
    assert not any(tap.requires_grad for tap in model.backbone(slices, 2, 3))
