from __future__ import annotations

import argparse
import json
import os
import pickle
import time
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from timm.models import get_pretrained_cfg
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

import datasets
from bench.models import registry
from bench.models.backbones.info import NORMALISATION, LoadedWeights
from bench.models.backbones.swin import SwinBackbone
from bench.models.backbones.vit import ViTBackbone
from bench.models.build import build_backbone, build_random, check_weights
from bench.models.weights import sources
from bench.models.weights.catalogue import TABLE
from bench.models.weights.checkpoints import file_sha256
from bench.models.weights.load import load_weights
from bench.run.network import build_plain
from bench.specs.protocol import DataSpec, ModelSpec, Protocol
from bench.specs.run import MethodSpec, RunSpec

WIDTH, HEADS, DEPTH, PATCH = 32, 4, 4, 8
SIZE = (32, 48)


def make_vit(size=SIZE, channels=3, **options):
    options = {
        "class_token": False,
        "global_pool": "",
        "num_classes": 0,
        "patch_size": PATCH,
    } | options
    torch.manual_seed(options.pop("seed", 0))
    return VisionTransformer(
        img_size=size,
        in_chans=channels,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=2,
        **options,
    ).eval()


def make_published(**options):
    """A network as it is published: class token, head, square grid of 4 x 4, every tensor random."""
    vit = make_vit(
        (32, 32),
        seed=1,
        **{"class_token": True, "global_pool": "token", "num_classes": 5} | options,
    )
    randomise(vit)
    return vit


def randomise(network):
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)


def make_swin(size, window, depths=(2, 2, 6, 2), channels=3, classes=0):
    return SwinTransformer(
        img_size=size, in_chans=channels, num_classes=classes, embed_dim=8, depths=depths,
        num_heads=(1, 1, 2, 2), window_size=window,
    ).eval()  # fmt: skip


def assert_every_tensor_is_accounted_for(loaded: LoadedWeights, backbone):
    parts = [loaded.matched, loaded.resampled, loaded.missing]
    assert sorted(name for part in parts for name in part) == sorted(backbone.state_dict())
    assert json.loads(json.dumps(asdict(loaded)))["sha256"] == loaded.sha256


def write_npz(path, prefix="", with_head=True):
    """Write random arrays in the layout of Google's ViT-B_16.npz; return them."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    arrays = {
        "embedding/kernel": draw(PATCH, PATCH, 3, WIDTH),
        "embedding/bias": draw(WIDTH),
        "cls": draw(1, 1, WIDTH),
        "Transformer/posembed_input/pos_embedding": draw(1, 17, WIDTH),
        "Transformer/encoder_norm/scale": draw(WIDTH),
        "Transformer/encoder_norm/bias": draw(WIDTH),
        "pre_logits/kernel": draw(WIDTH, WIDTH),
        "pre_logits/bias": draw(WIDTH),
    }
    if with_head:
        arrays |= {"head/kernel": draw(WIDTH, 7), "head/bias": draw(7)}
    for index in range(DEPTH):
        block = f"Transformer/encoderblock_{index}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            arrays[f"{attention}/{part}/kernel"] = draw(WIDTH, HEADS, WIDTH // HEADS)
            arrays[f"{attention}/{part}/bias"] = draw(HEADS, WIDTH // HEADS)
        arrays[f"{attention}/out/kernel"] = draw(HEADS, WIDTH // HEADS, WIDTH)
        arrays[f"{attention}/out/bias"] = draw(WIDTH)
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            arrays |= {f"{block}/{norm}/scale": draw(WIDTH), f"{block}/{norm}/bias": draw(WIDTH)}
        sizes = [(WIDTH, 2 * WIDTH), (2 * WIDTH, WIDTH)]
        for number, (n_in, n_out) in enumerate(sizes):
            dense = f"{block}/MlpBlock_3/Dense_{number}"
            arrays |= {f"{dense}/kernel": draw(n_in, n_out), f"{dense}/bias": draw(n_out)}
    np.savez(path, **{prefix + name: array for name, array in arrays.items()})
    return arrays


@pytest.mark.parametrize("with_head", [True, False])
def test_the_original_npz_loads_tensor_by_tensor(tmp_path, with_head):
    arrays = write_npz(tmp_path / "ViT-B_16.npz", with_head=with_head)
    backbone = ViTBackbone("vit", make_vit((32, 32)))
    loaded = load_weights(backbone, str(tmp_path / "ViT-B_16.npz"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert (loaded.resampled, loaded.missing) == ((), ())
    dropped = {"cls_token", "pos_embed[:, :1]", "pre_logits/kernel", "pre_logits/bias"}
    assert set(loaded.unused) == dropped | ({"head.weight", "head.bias"} if with_head else set())
    state = {name: tensor.numpy() for name, tensor in backbone.state_dict().items()}
    np.testing.assert_array_equal(
        state["patch_embed.proj.weight"], arrays["embedding/kernel"].transpose(3, 2, 0, 1)
    )
    np.testing.assert_array_equal(
        state["pos_embed"], arrays["Transformer/posembed_input/pos_embedding"][:, 1:]
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
    backbone = ViTBackbone("vit", make_vit(seed=3)).eval()
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
    backbone = ViTBackbone("vit", make_vit((32, 32), pre_norm=True, init_values=0.1))
    loaded = load_weights(backbone, str(tmp_path / "vit.safetensors"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert torch.equal(backbone.norm_pre.weight, published.norm_pre.weight)
    assert torch.equal(backbone.blocks[1].mlp_branch.scale.gamma, published.blocks[1].ls2.gamma)


def test_an_npz_with_numbers_that_have_no_place_is_refused(tmp_path):
    arrays = write_npz(tmp_path / "vit.npz")
    np.savez(
        tmp_path / "more.npz", **arrays, **{"Transformer/adapter/kernel": np.zeros(5, np.float32)}
    )
    with pytest.raises(
        ValueError, match=r"more\.npz' must hold the numbers of one ViT \([\d,]+\), got [\d,]+"
    ):
        load_weights(ViTBackbone("vit", make_vit()), str(tmp_path / "more.npz"))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_patch_embeddings_are_adapted_to_the_channels(tmp_path, channels):
    published = make_published()
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    backbone = ViTBackbone("vit", make_vit((32, 32), channels))
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


def write_swin(path, swin):
    """Write Microsoft's layout: merging at the end of a stage, derived buffers inside."""
    state = {}
    for name, tensor in swin.state_dict().items():
        parts = name.split(".")
        if "downsample" in name:
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts).replace("head.fc.", "head.")] = tensor
    area = swin.layers[0].blocks[0].window_size[0] ** 2
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, area, area)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(
        area, area, dtype=torch.int64
    )
    torch.save({"model": state}, path)


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


def wrap(layout, state):
    others = {"decoder_embed.weight": torch.zeros(3), "mask_token": torch.zeros(1)}
    return {
        "timm": state,
        "timm with EMA": {
            "state_dict": {},
            "state_dict_ema": {f"module.{k}": v for k, v in state.items()},
        },
        "MAE": {
            "model": state | others,
            "optimizer": {"lr": 1},
            "args": argparse.Namespace(mask_ratio=0.75),
        },
        "MoCo v3": {
            "epoch": 300,
            "state_dict": {f"module.base_encoder.{k}": v for k, v in state.items()}
            | {f"module.momentum_encoder.{k}": torch.zeros_like(v) for k, v in state.items()},
        },
        "DINO": {
            "student": {},
            "teacher": {f"backbone.{k}": v for k, v in state.items()} | {"head.x": torch.ones(1)},
        },
    }[layout]


@pytest.mark.parametrize("layout", ["timm", "timm with EMA", "MAE", "MoCo v3", "DINO"])
def test_layouts_of_training_code(tmp_path, layout):
    published = make_published()
    torch.save(wrap(layout, published.state_dict()), tmp_path / "checkpoint.pth.tar")
    backbone = ViTBackbone("vit", make_vit((32, 32)))
    loaded = load_weights(backbone, str(tmp_path / "checkpoint.pth.tar"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert loaded.missing == ()
    assert len(loaded.matched) == len(backbone.state_dict())
    qkv = backbone.blocks[3].attn_branch.inner.qkv.weight
    assert torch.equal(qkv, published.blocks[3].attn.qkv.weight)
    if layout == "MoCo v3":
        assert "momentum_encoder.norm.bias" in loaded.unused
    if layout == "MAE":
        assert {"decoder_embed.weight", "mask_token"} < set(loaded.unused)


def test_segment_anything_lacks_a_final_norm_and_says_what_is_left_out(tmp_path):
    published = make_published()
    state = {
        k: v
        for k, v in published.state_dict().items()
        if not k.startswith(("norm.", "head.", "cls", "pos"))
    }
    state = {name.replace("mlp.fc", "mlp.lin"): tensor for name, tensor in state.items()}
    state["pos_embed"] = torch.randn(1, 4, 4, WIDTH)
    state |= {"blocks.0.attn.rel_pos_h": torch.zeros(7, 8), "neck.0.weight": torch.zeros(3)}
    others = {"prompt_encoder.x": torch.zeros(1)}
    torch.save({f"image_encoder.{k}": v for k, v in state.items()} | others, tmp_path / "sam.pth")
    backbone = ViTBackbone("vit", make_vit((32, 32)))
    loaded = load_weights(backbone, str(tmp_path / "sam.pth"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert loaded.missing == ("norm.bias", "norm.weight")
    assert set(loaded.unused) == {"blocks.0.attn.rel_pos_h", "neck.0.weight", "prompt_encoder.x"}
    assert torch.equal(backbone.pos_embed, state["pos_embed"].reshape(1, 16, WIDTH))
    assert torch.equal(backbone.norm.weight, torch.ones(WIDTH))


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.setenv("BOMB", str(tmp_path / "ran"))
    state = {"model": make_published().state_dict(), "extra": Bomb()}
    torch.save(state, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"evil\.pth' must hold tensors only, got pickled code, which is never run"
    ):
        load_weights(ViTBackbone("vit", make_vit()), str(tmp_path / "evil.pth"))
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"plain\.pth'"):
        load_weights(ViTBackbone("vit", make_vit()), str(tmp_path / "plain.pth"))
    np.savez(tmp_path / "evil.npz", **{"embedding/kernel": np.array([Bomb()], dtype=object)})
    with pytest.raises(ValueError, match=r"evil\.npz' must hold arrays only, got pickled objects"):
        load_weights(ViTBackbone("vit", make_vit()), str(tmp_path / "evil.npz"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", ["pth", "legacy.pth", "safetensors", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, suffix, share):
    path = tmp_path / f"whole.{suffix}"
    if suffix == "npz":
        write_npz(path)
    elif suffix == "safetensors":
        save_file(make_published().state_dict(), path)
    else:
        torch.save(
            make_published().state_dict(), path, _use_new_zipfile_serialization=suffix == "pth"
        )
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(
        ValueError, match=rf"weights: '.*cut\.{suffix}' is truncated, damaged or no checkpoint \("
    ):
        load_weights(ViTBackbone("vit", make_vit()), str(cut))


def test_another_architecture_says_which_keys_and_shapes_and_changes_nothing(tmp_path):
    backbone = ViTBackbone("vit_b16", make_vit((32, 32)))
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


def test_names_and_files_are_checked_before_anything_is_built(tmp_path):
    with pytest.raises(
        ValueError, match=r"vit_b16: unknown weights 'in22k' \(did you mean 'in21k'\?\); available"
    ):
        registry.check_fit("vit_b16", "in22k", (64, 64))
    with pytest.raises(ValueError, match=r"weights: there is no file 'missing\.npz'"):
        registry.check_fit("vit_b16", "missing.npz", (64, 64))
    with pytest.raises(ValueError, match="weights: must be a file, got the folder"):
        registry.check_fit("vit_b16", f"{tmp_path}/", (64, 64))
    registry.check_fit("vit_b16", "mae", (64, 64))


def test_a_named_backbone_from_a_file(tmp_path):
    torch.manual_seed(0)
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    weights = str(tmp_path / "vit.safetensors")
    backbone = build_backbone("vit_ti16", 4, (64, 96), weights)
    assert backbone.loaded is not None
    assert backbone.loaded.sha256 == check_weights("vit_ti16", weights, (64, 96))
    assert backbone.loaded.sha256 == file_sha256(tmp_path / "vit.safetensors")
    assert set(backbone.loaded.resampled) == {"pos_embed", "patch_embed.proj.weight"}
    assert build_backbone("tiny_vit", 4, (64, 64), "none").loaded is None
    assert check_weights("vit_ti16", "none", (64, 96)) == ""


def test_a_run_refuses_a_file_that_is_another_by_now(tmp_path):
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    save_file(published.state_dict(), tmp_path / "vit.safetensors")
    protocol = Protocol(
        DataSpec(patch=(2, 32, 32)), ModelSpec("vit_ti16", str(tmp_path / "vit.safetensors"))
    )
    run = RunSpec(MethodSpec("linear"), "brats", "abc", 0, 0, protocol, tmp_path, "0" * 64)
    info = datasets.get("brats").describe("brats2020")
    with pytest.raises(
        ValueError, match=r"vit\.safetensors' has changed since the run was planned"
    ):
        build_plain(run, info)
    same = replace(run, weights_sha256=file_sha256(tmp_path / "vit.safetensors"))
    loaded = build_plain(same, info).backbone.loaded
    assert loaded is not None
    assert loaded.name == "vit.safetensors"


def test_offline_and_not_cached_is_one_sentence_with_three_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sources.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as caught:
        check_weights("vit_ti16", "in21k", (64, 64))
    for words in (
        "vit_tiny_patch16_224.augreg_in21k",
        "machine with network",
        "--weights PATH",
        "--weights none",
    ):
        assert words in str(caught.value)
    assert time.perf_counter() - start < 5

    def fail(address):
        raise TimeoutError

    monkeypatch.setattr(sources.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources, "check_reachable", fail)
    with pytest.raises(ValueError, match="cannot be downloaded \\(TimeoutError\\)"):
        sources.fetch("vit_tiny_patch16_224.augreg_in21k", "vit_ti16")


def test_published_weights_come_from_the_cache_with_their_statistics(tmp_path, monkeypatch):
    published = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    folder = tmp_path / "models--timm--vit_tiny_patch16_224.augreg_in21k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(published.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr(sources.constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = build_backbone("vit_ti16", 3, (64, 64), "in21k").loaded
    assert loaded is not None
    assert (loaded.name, loaded.source) == ("in21k", "timm vit_tiny_patch16_224.augreg_in21k")
    assert (loaded.mean, loaded.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert loaded.normalisation == NORMALISATION


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.backbone}-{entry.name}")
def test_the_table_says_what_timm_says(entry):
    config = get_pretrained_cfg(entry.tag)
    assert config is not None
    assert config.hf_hub_id == f"timm/{entry.tag}"
    assert config.license == entry.licence
    if entry.backbone in registry.BACKBONES:
        assert entry.name in registry.get(entry.backbone).weights


@pytest.mark.parametrize(
    "entry", [entry for entry in TABLE if entry.rebuild], ids=lambda entry: entry.tag
)
def test_architectures_with_more_parts_are_built_by_timm(entry, tmp_path):
    with torch.device("meta"):
        theirs = timm.create_model(entry.architecture, pretrained=False, num_classes=0)
        ours = build_random(entry.backbone, 3, (224, 224), entry.name)
    names = {name for name in theirs.state_dict() if name != "cls_token"}
    assert len(ours.state_dict()) == len(names)
    assert ours.patch_size == 16
    assert ours.norm.eps == theirs.norm.eps
    assert type(ours.norm_pre) is type(theirs.norm_pre)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("swinv2_tiny_window8_256", "got SwinTransformerV2"),
        ("eva02_tiny_patch14_224", "got Eva"),
        ("beit_base_patch16_224", "got Beit"),
        ("convnext_tiny", "got ConvNeXt"),
        ("vit_base_r50_s16_224", "got HybridEmbed in front"),
        (
            "vit_tiny_patch16_22",
            r"timm has no such model \(did you mean 'timm:vit_tiny_patch16_224'\?\)",
        ),
        (
            "deit_tiny_patch16_224.fb_in1k",
            r"--backbone timm:deit_tiny_patch16_224 --weights fb_in1k",
        ),
    ],
)
def test_other_networks_of_timm_are_refused(name, sentence):
    with pytest.raises(ValueError, match=f"timm:{name}: .*{sentence}"):
        registry.check_fit(f"timm:{name}", "none", (64, 64))


def test_a_norm_after_pooling_only_is_not_invented():
    with torch.device("meta"):
        backbone = build_backbone("timm:vit_medium_patch16_reg4_gap_256", 4, (64, 64), "none")
    assert isinstance(backbone.norm, torch.nn.Identity)
    assert backbone.pos_embed.shape == (1, 16, 512)


@pytest.mark.parametrize(
    ("name", "patch"), [("deit_tiny_patch16_224", 16), ("swin_tiny_patch4_window7_224", 4)]
)
def test_any_vit_or_swin_of_timm_by_name(tmp_path, name, patch):
    torch.manual_seed(0)
    published = timm.create_model(name, pretrained=False)
    save_file(published.state_dict(), tmp_path / "timm.safetensors")
    backbone = build_backbone(
        f"timm:{name}", 3, (224, 224), str(tmp_path / "timm.safetensors")
    ).eval()
    assert backbone.patch_size == patch
    assert backbone.loaded is not None
    assert_every_tensor_is_accounted_for(backbone.loaded, backbone)
    assert (backbone.loaded.resampled, backbone.loaded.missing) == ((), ())
    seen = []
    for site in backbone.sites:
        if site.role.value == "qkv":
            site.module.register_forward_hook(lambda *_: seen.append(1))
    slices = torch.randn(1, 3, 224, 224)
    taps = backbone(slices, 1, 1)
    assert len(seen) == 12  # methods inside qkv are heard
    if name.startswith("swin"):
        expected = published.eval().forward_intermediates(
            slices, norm=True, intermediates_only=True
        )
        assert all(torch.equal(tap, features) for tap, features in zip(taps, expected, strict=True))
