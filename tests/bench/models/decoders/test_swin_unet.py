from __future__ import annotations

import copy

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

from bench.models.backbones.info import Blueprint
from bench.models.backbones.swin import SwinBackbone
from bench.models.build import build_backbone, build_segmenter
from bench.models.decoders.swin_unet import Expansion, SwinUNetDecoder
from bench.models.segmenter import Segmenter

DEPTH = 3


def build_small():
    torch.manual_seed(0)
    swin = SwinTransformer(
        img_size=64, in_chans=2, num_classes=0, embed_dim=16, depths=(2, 2, 4, 2),
        num_heads=(1, 2, 4, 8), window_size=2,
    )  # fmt: skip
    backbone = SwinBackbone("small", swin)
    return Segmenter(backbone, SwinUNetDecoder(backbone, n_classes=3))


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parts_have_the_published_sizes():
    with torch.device("meta"):
        model = build_segmenter(
            Blueprint("swin_t_unet"), in_channels=4, n_classes=4, patch=(128, 128, 128), seed=0
        )
    backbone, decoder = model.backbone, model.decoder
    assert n_parameters(backbone.patch_embed) == 6_432
    assert [n_parameters(stage.blocks) for stage in backbone.stages] == [
        223_974,
        890_316,
        3_550_104,
        14_178_096,
    ]
    assert [n_parameters(stage.merging) for stage in backbone.stages] == [
        0,
        74_496,
        296_448,
        1_182_720,
    ]
    assert n_parameters(backbone.norm) == 1_536
    assert [n_parameters(stage.blocks) for stage in decoder.stages] == [3_550_104, 890_316, 223_974]
    assert [n_parameters(stage.expansion) for stage in decoder.stages] == [
        1_180_416,
        295_296,
        73_920,
    ]
    assert [n_parameters(stage.mix) for stage in decoder.stages] == [295_296, 73_920, 18_528]
    assert n_parameters(decoder.head.expansion) == 147_648
    assert n_parameters(decoder.norm) == 192
    assert n_parameters(decoder.head.output) == 384
    assert n_parameters(model) == 27_154_116
    windows = {
        block.attn_branch.inner.window_size for stage in backbone.stages for block in stage.blocks
    }
    assert windows == {(4, 4)}


def test_logits_have_the_shape_of_the_volume_and_all_parts_train():
    model = build_small()
    logits = model(torch.randn(2, 2, DEPTH, 64, 64))
    assert logits.shape == (2, 3, DEPTH, 64, 64)
    logits.square().mean().backward()
    assert all(parameter.grad.any() for parameter in model.decoder.parameters())


def test_up_stages_start_from_the_encoders_blocks_but_share_nothing():
    model = build_small()
    original = copy.deepcopy(model.backbone.state_dict())
    encoder = reversed(list(model.backbone.stages)[:-1])
    for ours, theirs in zip(model.decoder.stages, encoder, strict=True):
        assert len(ours.blocks) == 2
        for copied, block in zip(ours.blocks, theirs.blocks, strict=False):
            state = block.state_dict()
            assert all(
                torch.equal(value, state[name]) for name, value in copied.state_dict().items()
            )
            assert copied.attn_branch.inner.shift == block.attn_branch.inner.shift
            assert copied.attn_branch.inner.layout.volume is model.backbone.volume
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(1)
    assert all(
        torch.equal(value, original[name]) for name, value in model.backbone.state_dict().items()
    )


def test_a_copy_of_the_network_has_a_volume_of_its_own():
    model = build_small()
    other = copy.deepcopy(model)
    assert other.backbone.volume is not model.backbone.volume
    for stage in other.decoder.stages:
        assert stage.blocks[0].attn_branch.inner.layout.volume is other.backbone.volume


def test_expansion_puts_every_feature_into_its_own_square():
    torch.manual_seed(0)
    expansion = Expansion(6, 5, factor=4).double()
    torch.nn.init.normal_(expansion.norm.weight)
    x = torch.randn(2, 3, 2, 6, dtype=torch.float64)
    y = expansion(x)
    assert y.shape == (2, 12, 8, 5)
    for row, column, down, right in [(0, 0, 0, 0), (2, 1, 3, 1), (1, 0, 2, 3)]:
        part = 5 * (4 * down + right)
        value = expansion.expand.weight[part : part + 5] @ x[1, row, column]
        centred = (value - value.mean()) / (value.var(correction=0) + expansion.norm.eps).sqrt()
        torch.testing.assert_close(
            y[1, 4 * row + down, 4 * column + right], centred * expansion.norm.weight
        )


def test_skips_reach_the_output():
    model = build_small().eval()
    slices = torch.randn(2, 2, 64, 64)
    with torch.no_grad():
        maps = model.backbone(slices, 1, 2)
        logits = model.decoder(maps, (64, 64))
        for number in range(4):
            changed = [
                x + (torch.randn_like(x) if index == number else 0) for index, x in enumerate(maps)
            ]
            assert not torch.allclose(model.decoder(changed, (64, 64)), logits)


def test_only_a_swin_has_a_mirror_image():
    backbone = build_backbone("tiny_vit", 1, (32, 32), "none")
    with pytest.raises(
        ValueError, match="swin_unet: the backbone must be a Swin Transformer, got 'tiny_vit'"
    ):
        SwinUNetDecoder(backbone, 2)
