from __future__ import annotations

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from bench.models import registry
from bench.models.vit import ViTBackbone, pick_taps
from methods.sites import Role

EVERY = [name for name in registry.names() if name.startswith("tiny_")]


@pytest.fixture(params=EVERY)
def backbone(request):
    torch.manual_seed(0)
    return registry.build(request.param, 2, (64, 96), "none")


@pytest.mark.parametrize("init_values", [None, 0.1])
def test_vit_features_equal_timm_bit_for_bit(init_values):
    torch.manual_seed(0)
    vit = VisionTransformer(
        img_size=(32, 48),
        patch_size=8,
        in_chans=4,
        num_classes=0,
        global_pool="",
        class_token=False,
        embed_dim=48,
        depth=12,
        num_heads=3,
        init_values=init_values,
        drop_path_rate=0.2,
    ).eval()
    slices = torch.randn(6, 4, 32, 48)
    expected = [*vit.forward_intermediates(slices, indices=[2, 5, 8], intermediates_only=True)]
    final = vit.forward_features(slices).transpose(1, 2).reshape(6, 48, 4, 6)
    ours = ViTBackbone("vit", copy.deepcopy(vit)).eval()
    taps = ours(slices, 2, 3)
    assert len(taps) == 4
    for tap, features in zip(taps, [*expected, final], strict=True):
        assert torch.equal(tap, features)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in vit.parameters())


def test_drop_path_acts_in_training_only_as_in_timm():
    torch.manual_seed(0)
    vit = VisionTransformer(
        img_size=32, patch_size=8, num_classes=0, global_pool="", class_token=False,
        embed_dim=48, depth=4, num_heads=3, drop_path_rate=0.5,
    )  # fmt: skip
    slices = torch.randn(6, 3, 32, 32)
    ours = ViTBackbone("vit", copy.deepcopy(vit))
    torch.manual_seed(1)
    expected = vit(slices).transpose(1, 2).reshape(6, 48, 4, 4)
    torch.manual_seed(1)
    assert torch.equal(ours(slices, 2, 3)[-1], expected)


@pytest.mark.parametrize(
    ("n_blocks", "taps"), [(12, (2, 5, 8, 11)), (6, (1, 2, 4, 5)), (4, (0, 1, 2, 3)), (24, (5, 11, 17, 23))]
)
def test_taps_end_four_stages(n_blocks, taps):
    assert pick_taps(n_blocks) == taps


def test_taps_have_the_declared_channels_and_strides(backbone):
    taps = backbone(torch.randn(6, 2, 64, 96), 2, 3)
    shapes = [
        (6, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.tap_channels, backbone.tap_strides, strict=True)
    ]
    assert [tuple(tap.shape) for tap in taps] == shapes
    assert (backbone.volume.batch, backbone.volume.depth) == (2, 3)
    assert (backbone.volume.height, backbone.volume.width) == (64 // backbone.patch_size, 96 // backbone.patch_size)


def test_every_block_offers_every_role(backbone):
    blocks = [site for site in backbone.sites if site.role is Role.BLOCK]
    assert [site.index for site in blocks] == list(range(len(blocks)))
    assert [site.stage for site in blocks] == sorted(site.stage for site in blocks)
    assert [site.stage for site in blocks if site.last_in_stage] == [0, 1, 2, 3]
    for role in set(Role) - {Role.PROMPT}:
        sites = [site for site in backbone.sites if site.role is role]
        assert [(site.index, site.stage, site.width) for site in sites] == [
            (site.index, site.stage, site.width) for site in blocks
        ]
        assert all(isinstance(site.module, torch.nn.Module) for site in sites)
    (prompt,) = [site for site in backbone.sites if site.role is Role.PROMPT]
    assert prompt.width == backbone.width
    for site in backbone.sites:
        if site.role is Role.QKV:
            assert (site.module.in_features, site.module.out_features) == (site.width, 3 * site.width)


def test_slices_of_another_size_are_refused(backbone):
    with pytest.raises(ValueError, match=f"{backbone.name}: built for slices of 64x96, got 32x96"):
        backbone(torch.randn(1, 2, 32, 96), 1, 1)


def test_bad_requests_are_one_sentence():
    with pytest.raises(ValueError, match=r"unknown backbone 'tiny_vti' \(did you mean 'tiny_vit'\?\); available: "):
        registry.get("tiny_vti")
    with pytest.raises(ValueError, match=r"tiny_vit: unknown weights 'in21k'; available: none"):
        registry.build("tiny_vit", 4, (64, 64), "in21k")
    with pytest.raises(ValueError, match="tiny_vit: slices must be divisible by 8, got 64x60"):
        registry.build("tiny_vit", 4, (64, 60), "none")


def test_tiny_vit_has_the_size_that_its_title_says():
    n_parameters = sum(p.numel() for p in registry.build("tiny_vit", 4, (64, 64), "none").parameters())
    assert n_parameters == 1_230_976
