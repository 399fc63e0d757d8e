"""Class and register tokens run along as in timm, or are dropped; methods find the grid."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

import methods
from bench.models.backbones.info import Blueprint
from bench.models.backbones.vit import TOKENS
from bench.models.build import build_backbone, build_random, build_segmenter
from bench.models.segmenter import apply_method
from bench.models.weights.load import timm_name
from benchmarks.network.prefix_tokens import FAMILIES, TOLERANCE, compare, list_taps, randomise
from methods.base import apply
from tests.bench.models.made_weights import assert_every_tensor_is_accounted_for

SIZE = (32, 48)
N_TOKENS = {"DeiT, distilled": 2, "DINOv2 with registers": 5, "C-RADIO": 8, "SigLIP": 0, "Swin": 0}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_features_of_timm(family):
    row = compare(FAMILIES[family])
    assert row.kept <= TOLERANCE
    assert row.n_tokens == N_TOKENS.get(family, row.n_tokens)
    assert (row.dropped > 1e-3) == (row.n_tokens > 0)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("test_vit", ["cls_token"]),
        ("test_vit2", ["reg_token"]),
        ("deit_tiny_distilled_patch16_224", ["cls_token", "dist_token"]),
        ("vit_small_patch14_reg4_dinov2", ["cls_token", "reg_token"]),
    ],
)
def test_a_published_file_gives_the_features_of_timm_on_another_grid(tmp_path, name, tokens):
    """The file has timm's own grid, and so a position embedding to be resampled."""
    torch.manual_seed(0)
    published = timm.create_model(name)
    randomise(published)
    file = tmp_path / "published.safetensors"
    save_file(published.state_dict(), file)
    patch = published.patch_embed.patch_size[0]
    size = (3 * patch, 2 * patch)
    backbone = build_backbone(f"timm:{name}", 3, size, str(file)).eval()
    assert [token for token in TOKENS if getattr(backbone, token) is not None] == tokens
    assert_every_tensor_is_accounted_for(backbone.loaded, backbone)
    assert set(tokens) <= set(backbone.loaded.matched)
    assert "pos_embed" in backbone.loaded.resampled

    published.set_input_size(img_size=size)  # timm resamples the positions
    slices = torch.randn(2, 3, *size)
    with torch.no_grad():
        for ours, theirs in zip(
            backbone(slices, 1, 2), list_taps(published, slices, backbone), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_dropped_tokens_and_their_positions_are_named(tmp_path):
    published = timm.create_model("test_vit")
    save_file(published.state_dict(), tmp_path / "published.safetensors")
    path = str(tmp_path / "published.safetensors")
    backbone = build_backbone("timm:test_vit", 3, (160, 160), path, "drop")
    assert_every_tensor_is_accounted_for(backbone.loaded, backbone)
    assert {"cls_token", "pos_embed[:, :1]"} < set(backbone.loaded.unused)
    assert torch.equal(backbone.pos_embed, published.pos_embed[:, 1:])
    assert "cls_token" not in backbone.state_dict()


def test_metas_own_layout_of_registers_loads(tmp_path):
    """There the class token's position is embedded and the registers' are not; timm adds it."""
    published = timm.create_model("vit_small_patch14_reg4_dinov2", img_size=(28, 28))
    state = dict(published.state_dict())
    positions = torch.randn(1, 5, 384)
    state |= {"register_tokens": state.pop("reg_token"), "pos_embed": positions}
    torch.save(state | {"mask_token": torch.zeros(1, 384)}, tmp_path / "meta.pth")
    name = "timm:vit_small_patch14_reg4_dinov2"
    backbone = build_backbone(name, 3, (28, 28), str(tmp_path / "meta.pth"))
    assert torch.equal(backbone.reg_token, published.reg_token)
    assert torch.equal(backbone.cls_token, published.cls_token + positions[:, :1])
    assert torch.equal(backbone.pos_embed, positions[:, 1:])
    assert "mask_token" in backbone.loaded.unused
    assert "register_tokens" not in backbone.loaded.unused


@pytest.mark.parametrize(("weights", "n_tokens"), [("none", 1), ("in21k", 1), ("sam", 0)])
def test_segment_anything_was_pretrained_without_a_class_token(weights, n_tokens):
    with torch.device("meta"):
        backbone = build_random("vit_b16", 3, (32, 32), weights)
    assert backbone.num_prefix_tokens == n_tokens
    assert backbone.pos_embed.shape == (1, n_tokens + 4, 768)


@pytest.mark.parametrize("method", methods.names())
def test_the_decoder_gets_the_patches_alone(method):
    model = build_segmenter(
        Blueprint("timm:test_vit"), in_channels=2, n_classes=3, patch=(3, *SIZE), seed=0
    )
    apply_method(model, methods.build(method), seed=0)
    maps = model.backbone(torch.randn(6, 2, *SIZE), 2, 3)
    assert [tuple(x.shape) for x in maps] == [(6, 64, 2, 3)] * 4


def test_med_adapter_passes_the_class_token_unchanged():
    backbone = build_backbone("timm:test_vit", 2, SIZE, "none")
    backbone.volume.depth = 3
    apply(methods.build("med_adapter"), backbone)
    backbone.eval()
    seen = {}
    adapter = backbone.blocks[0].adapter
    adapter.register_forward_hook(lambda _m, inputs, y: seen.update(x=inputs[0], y=y))
    with torch.no_grad():
        backbone(torch.randn(6, 2, *SIZE), 2, 3)
    assert seen["x"].shape == (6, 1 + 6, 64)
    assert torch.equal(seen["x"][:, :1], seen["y"][:, :1])
    assert not torch.equal(seen["x"][:, 1:], seen["y"][:, 1:])


def test_the_place_of_prompts_among_the_prefix_tokens_has_no_influence():
    """In front of the class token, as here, or behind it, as in the authors' code."""
    torch.manual_seed(0)
    published = timm.create_model("test_vit", img_size=SIZE, dynamic_img_size=False).double()
    randomise(published)
    backbone = build_backbone("timm:test_vit", 3, SIZE, "none").double()
    backbone.load_state_dict(
        {own: published.state_dict()[theirs] for own, theirs in names_of(backbone)}
    )
    apply(methods.build("vpt_shallow", {"n_prompts": 4}), backbone)
    (prompts,) = (each for each in backbone.parameters() if each.requires_grad)
    prompts.data = torch.randn_like(prompts, dtype=torch.float64)
    slices = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        x = published._pos_embed(published.patch_embed(slices))
        x = torch.cat([x[:, :1], prompts.expand(2, -1, -1), x[:, 1:]], dim=1)
        for block in published.blocks:
            x = block(x)
        expected = published.norm(x)[:, 5:].transpose(1, 2).reshape(2, 64, 2, 3)
        found = backbone.eval()(slices, 1, 2)[-1]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def names_of(backbone):
    return [(name, timm_name(name)) for name in backbone.state_dict()]
