from __future__ import annotations

import copy

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from bench.models import registry
from bench.models.backbones.swin import SwinBackbone, build_swin
from bench.models.backbones.vit import ViTBackbone, pick_taps
from bench.models.build import build_backbone
from methods.sites import Role

EVERY = [name for name in registry.names() if name.startswith("tiny_")]


@pytest.fixture(params=EVERY)
def backbone(request):
    torch.manual_seed(0)
    return build_backbone(request.param, 2, (64, 96), "none")


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


@pytest.mark.parametrize("window", [(4, 6), 7])
def test_swin_features_equal_timm_bit_for_bit(window):
    torch.manual_seed(0)
    size = (224, 224) if window == 7 else (128, 192)
    depths = (1, 1, 2, 1) if window == 7 else (2, 2, 6, 2)
    swin = SwinTransformer(
        img_size=size,
        in_chans=4,
        num_classes=0,
        embed_dim=24,
        depths=depths,
        num_heads=(1, 2, 4, 8),
        window_size=window,
    ).eval()
    for name, parameter in swin.named_parameters():
        if "position" in name:
            parameter.data.normal_()
    slices = torch.randn(2, 4, *size)
    ours = SwinBackbone("swin", copy.deepcopy(swin)).eval()
    expected = swin.forward_intermediates(slices, norm=True, intermediates_only=True)
    taps = ours(slices, 1, 2)
    assert len(taps) == len(expected) == 4
    for tap, features in zip(taps, expected, strict=True):
        assert torch.equal(tap, features)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in swin.parameters())


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
    ("n_blocks", "taps"),
    [(12, (2, 5, 8, 11)), (6, (1, 2, 4, 5)), (4, (0, 1, 2, 3)), (24, (5, 11, 17, 23))],
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
    assert (backbone.volume.height, backbone.volume.width) == (
        64 // backbone.patch_size,
        96 // backbone.patch_size,
    )


OF_THE_NETWORK = {  # one each, or one between two stages
    Role.PROMPT,
    Role.PATCH_EMBED,
    Role.PATCH_NORM,
    Role.MERGE_NORM,
    Role.REDUCTION,
    Role.FINAL_NORM,
}


def test_every_block_offers_every_role(backbone):
    blocks = [site for site in backbone.sites if site.role is Role.BLOCK]
    assert [site.index for site in blocks] == list(range(len(blocks)))
    assert [site.stage for site in blocks] == sorted(site.stage for site in blocks)
    assert [site.stage for site in blocks if site.last_in_stage] == [0, 1, 2, 3]
    for role in set(Role) - OF_THE_NETWORK:
        sites = [site for site in backbone.sites if site.role is role]
        assert [(site.index, site.stage, site.width) for site in sites] == [
            (site.index, site.stage, site.width) for site in blocks
        ]
        assert all(isinstance(site.module, torch.nn.Module) for site in sites)
    (prompt,) = [site for site in backbone.sites if site.role is Role.PROMPT]
    assert prompt.width == backbone.width
    for site in backbone.sites:
        if site.role is Role.QKV:
            assert (site.module.in_features, site.module.out_features) == (
                site.width,
                3 * site.width,
            )


def test_slices_of_another_size_are_refused(backbone):
    with pytest.raises(ValueError, match=f"{backbone.name}: built for slices of 64x96, got 32x96"):
        backbone(torch.randn(1, 2, 32, 96), 1, 1)


def test_bad_requests_are_one_sentence():
    with pytest.raises(
        ValueError, match=r"unknown backbone 'tiny_vti' \(did you mean 'tiny_vit'\?\); available: "
    ):
        registry.get("tiny_vti")
    with pytest.raises(
        ValueError, match=r"tiny_vit: unknown weights 'in21k'; available: formula-vit, none"
    ):
        build_backbone("tiny_vit", 4, (64, 64), "in21k")
    with pytest.raises(ValueError, match="tiny_swin: slices must be divisible by 32, got 48x64"):
        build_backbone("tiny_swin", 4, (48, 64), "none")
    with pytest.raises(ValueError, match="tiny_vit: slices must be divisible by 8, got 64x60"):
        build_backbone("tiny_vit", 4, (64, 60), "none")


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("tiny_vit", 1_255_552),
        ("tiny_swin", 1_288_438),
        ("vit_b16", 787_200 + 49_152 + 85_054_464 + 1_536 + 2 * 768),  # class token and position
        (
            "swin_tiny",
            27_519_354 + 96 * 16 - 138 * (13 * 13 - 7 * 7),
        ),  # a fourth channel; 138 heads, windows of 4, not 7
    ],
)
def test_parameters_at_128_voxels_and_4_channels(name, n_parameters):
    with torch.device("meta"):
        backbone = build_backbone(name, 4, (128, 128), "none")
    assert sum(p.numel() for p in backbone.parameters()) == n_parameters


def test_every_backbone_has_the_size_that_its_title_says():
    for name in registry.names():
        with torch.device("meta"):
            backbone = build_backbone(name, 3, (224, 224), "none")
        n_million = sum(p.numel() for p in backbone.parameters()) / 1e6
        stated = float(registry.get(name).title.split("(")[1].split(" M")[0])
        assert stated == pytest.approx(n_million, rel=0.05)


@pytest.mark.parametrize(
    ("size", "windows"), [(224, [7, 7, 7, 7]), (128, [4, 4, 4, 4]), (96, [3, 3, 3, 3])]
)
def test_windows_keep_their_share_of_the_grid(size, windows):
    with torch.device("meta"):
        backbone = build_swin(registry.get("swin_tiny"), 4, (size, size))
    found = [stage.blocks[1].attn_branch.inner for stage in backbone.stages]
    assert [attention.window_size for attention in found] == [
        (window, window) for window in windows
    ]
    assert [any(attention.shift) for attention in found] == [True, True, True, False]
