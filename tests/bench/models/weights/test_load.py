"""Weights of every layout end up in the right tensors, bit for bit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table

from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import ViTBackbone
from bench.models.weights.load import load_weights
from tests.bench.models.made_weights import (
    DEPTH,
    SIZE,
    WIDTH,
    assert_every_tensor_is_accounted_for,
    make_published,
    make_swin,
    make_vit,
    randomise,
    write_npz,
    write_swin,
)


def build(prefix_tokens="keep", size=SIZE, channels=3, **options):
    """Return a backbone with a class token, unless it is to be dropped."""
    backbone = ViTBackbone("vit", make_vit(size, channels, class_token=True, seed=3, **options))
    if prefix_tokens == "drop":
        backbone.drop_prefix_tokens()
    return backbone.eval()


@pytest.mark.parametrize("prefix_tokens", ["keep", "drop"])
@pytest.mark.parametrize("with_head", [True, False])
def test_the_original_npz_loads_tensor_by_tensor(tmp_path, with_head, prefix_tokens):
    arrays = write_npz(tmp_path / "ViT-B_16.npz", with_head=with_head)
    backbone = build(prefix_tokens, (32, 32))
    loaded = load_weights(backbone, str(tmp_path / "ViT-B_16.npz"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert (loaded.resampled, loaded.missing) == ((), ())
    unused = {"pre_logits/kernel", "pre_logits/bias"}
    unused |= {"head.weight", "head.bias"} if with_head else set()
    state = {name: tensor.numpy() for name, tensor in backbone.state_dict().items()}
    if prefix_tokens == "keep":
        np.testing.assert_array_equal(state["cls_token"], arrays["cls"])
    else:
        unused |= {"cls_token", "pos_embed[:, :1]"}
        assert "cls_token" not in state
    assert set(loaded.unused) == unused
    np.testing.assert_array_equal(
        state["patch_embed.proj.weight"], arrays["embedding/kernel"].transpose(3, 2, 0, 1)
    )
    positions = arrays["Transformer/posembed_input/pos_embedding"]
    np.testing.assert_array_equal(
        state["pos_embed"], positions if prefix_tokens == "keep" else positions[:, 1:]
    )
    np.testing.assert_array_equal(state["norm.weight"], arrays["Transformer/encoder_norm/scale"])
    for index in range(DEPTH):
        ours, theirs = f"blocks.{index}", f"Transformer/encoderblock_{index}"
        attention = f"{theirs}/MultiHeadDotProductAttention_1"
        kernels = [
            arrays[f"{attention}/{part}/kernel"].reshape(WIDTH, WIDTH).T
            for part in ("query", "key", "value")
        ]
        biases = [arrays[f"{attention}/{part}/bias"].ravel() for part in ("query", "key", "value")]
        np.testing.assert_array_equal(
            state[f"{ours}.attn_branch.inner.qkv.weight"], np.concatenate(kernels)
        )
        np.testing.assert_array_equal(
            state[f"{ours}.attn_branch.inner.qkv.bias"], np.concatenate(biases)
        )
        out = arrays[f"{attention}/out/kernel"].reshape(WIDTH, WIDTH).T
        np.testing.assert_array_equal(state[f"{ours}.attn_branch.inner.proj.weight"], out)
        np.testing.assert_array_equal(
            state[f"{ours}.attn_branch.norm.bias"], arrays[f"{theirs}/LayerNorm_0/bias"]
        )
        np.testing.assert_array_equal(
            state[f"{ours}.mlp_branch.norm.weight"], arrays[f"{theirs}/LayerNorm_2/scale"]
        )
        for layer in (0, 1):
            kernel = arrays[f"{theirs}/MlpBlock_3/Dense_{layer}/kernel"].T
            np.testing.assert_array_equal(
                state[f"{ours}.mlp_branch.inner.fc{layer + 1}.weight"], kernel
            )


def test_features_equal_timms_with_the_same_weights_on_another_grid(tmp_path):
    published = make_published()
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    reference = make_vit()
    state = {
        name: tensor
        for name, tensor in published.state_dict().items()
        if name in reference.state_dict()
    }
    state["pos_embed"] = resample_abs_pos_embed(
        state["pos_embed"][:, 1:], new_size=[4, 6], num_prefix_tokens=0
    )
    reference.load_state_dict(state)
    backbone = build("drop")
    loaded = load_weights(backbone, str(tmp_path / "vit.safetensors"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert loaded.resampled == ("pos_embed",)
    assert loaded.unused == ("cls_token", "head.bias", "head.weight", "pos_embed[:, :1]")
    slices = torch.randn(2, 3, *SIZE)
    expected = reference.forward_features(slices).transpose(1, 2).reshape(2, WIDTH, 4, 6)
    assert torch.equal(backbone(slices, 1, 2)[-1], expected)


def test_a_norm_before_the_blocks_and_layer_scale_load_where_the_backbone_has_them(tmp_path):
    published = make_published(pre_norm=True, init_values=0.1)
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    backbone = build(size=(32, 32), pre_norm=True, init_values=0.1)
    loaded = load_weights(backbone, str(tmp_path / "vit.safetensors"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert torch.equal(backbone.norm_pre.weight, published.norm_pre.weight)
    assert torch.equal(backbone.blocks[1].mlp_branch.scale.gamma, published.blocks[1].ls2.gamma)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_patch_embeddings_are_adapted_to_the_channels(tmp_path, channels):
    published = make_published()
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    backbone = build(size=(32, 32), channels=channels)
    loaded = load_weights(backbone, str(tmp_path / "vit.safetensors"))
    red, green, blue = published.patch_embed.proj.weight.unbind(1)
    expected = {1: [red + green + blue], 3: [red, green, blue]}.get(
        channels, [red, green, blue, red]
    )
    scale = 0.75 if channels == 4 else 1.0
    torch.testing.assert_close(
        backbone.patch_embed.proj.weight, torch.stack(expected, dim=1) * scale
    )
    assert loaded.resampled == (() if channels == 3 else ("patch_embed.proj.weight",))


def test_the_original_swin_loads_with_features_of_timm(tmp_path):
    torch.manual_seed(0)
    published = make_swin((224, 224), 7, classes=5)
    randomise(published)
    write_swin(tmp_path / "swin.pth", published)
    backbone = SwinBackbone("swin", make_swin((224, 224), 7)).eval()
    loaded = load_weights(backbone, str(tmp_path / "swin.pth"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert (loaded.resampled, loaded.missing) == ((), ())
    derived = {"layers.0.blocks.1.attn_mask", "layers.0.blocks.0.attn.relative_position_index"}
    assert set(loaded.unused) == derived | {"head.fc.weight", "head.fc.bias"}
    slices = torch.randn(1, 3, 224, 224)
    expected = published.forward_intermediates(slices, norm=True, intermediates_only=True)
    for tap, features in zip(backbone(slices, 1, 1), expected, strict=True):
        assert torch.equal(tap, features)


def test_a_cut_swin_takes_the_first_blocks_and_resamples_the_tables(tmp_path):
    torch.manual_seed(0)
    published = make_swin((224, 224), 7)
    randomise(published)
    write_swin(tmp_path / "swin.pth", published)
    cut = SwinBackbone("swin_t_unet", make_swin((64, 96), (2, 3), depths=(2, 2, 2, 2), channels=4))
    loaded = load_weights(cut, str(tmp_path / "swin.pth"))
    assert_every_tensor_is_accounted_for(loaded, cut)
    surplus = {
        name
        for name in published.state_dict()
        if name.startswith("layers.2.blocks.") and name[16] in "2345"
    }
    assert len(surplus) == 4 * 13
    assert surplus < set(loaded.unused)
    assert loaded.missing == ()
    tables = {name for name in cut.state_dict() if name.endswith("bias_table")}
    assert set(loaded.resampled) == tables | {"patch_embed.proj.weight"}
    table = published.layers[2].blocks[1].attn.relative_position_bias_table
    ours = cut.stages[2].blocks[1].attn_branch.inner.relative_position_bias_table
    with warnings.catch_warnings(action="ignore"):
        expected = resize_rel_pos_bias_table(table, new_window_size=(2, 3), new_bias_shape=(15, 2))
    assert torch.equal(ours, expected)
    whole = SwinBackbone("swin_tiny", make_swin((64, 96), (2, 3), depths=(2, 2, 2, 2)))
    with pytest.raises(
        ValueError, match=r"of another architecture than swin_tiny \(it has no layers\.2\.blocks\.2"
    ):
        load_weights(whole, str(tmp_path / "swin.pth"))


def test_another_architecture_says_which_keys_and_shapes_and_changes_nothing(tmp_path):
    backbone = ViTBackbone("vit_b16", make_vit((32, 32), class_token=True))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    def refuse(state, sentence):
        save_file(
            {name: tensor.contiguous() for name, tensor in state.items()},
            tmp_path / "other.safetensors",
        )
        with pytest.raises(
            ValueError,
            match="other.safetensors' is of another architecture than vit_b16: " + sentence,
        ):
            load_weights(backbone, str(tmp_path / "other.safetensors"))

    state = dict(make_published().state_dict())
    narrow = state | {"blocks.1.mlp.fc1.weight": torch.zeros(16, WIDTH)}
    refuse(
        narrow,
        r"it has shapes blocks\.1\.mlp\.fc1\.weight 16x32 instead of 64x32 \(--backbone timm:NAME",
    )
    refuse(
        {k: v for k, v in state.items() if "blocks.3" not in k},
        r"it lacks blocks\.3\.\S+, \S+, \S+ and 9 more",
    )
    refuse(
        {k: v for k, v in state.items() if k != "cls_token"},
        r"it lacks cls_token \(--set model\.prefix_tokens=drop leaves out class and register tok",
    )
    refuse(
        state | {"reg_token": torch.zeros(1, 4, WIDTH)},
        r"it has what the backbone lacks: reg_token \(--set model\.prefix_tokens=drop leaves out",
    )
    refuse(
        state | {"norm_pre.weight": torch.zeros(WIDTH)},
        r"it has what the backbone lacks: norm_pre\.weight",
    )
    refuse(
        state | {"blocks.4.norm1.weight": torch.zeros(WIDTH)},
        r"it has what .* blocks\.4\.norm1\.weight",
    )
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(
        ValueError,
        match=r"must hold a ViT or Swin \(no patch_embed\.proj\.weight\), got conv1\.weight",
    ):
        load_weights(backbone, str(tmp_path / "resnet.pth"))
    torch.save({"visual.conv1.weight": torch.zeros(3)}, tmp_path / "clip.pth")
    with pytest.raises(ValueError, match="has CLIP's own layout"):
        load_weights(backbone, str(tmp_path / "clip.pth"))
    np.savez(tmp_path / "data.npz", image=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"data\.npz' must have the layout of the original ViT \.npz"
    ):
        load_weights(backbone, str(tmp_path / "data.npz"))
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())
