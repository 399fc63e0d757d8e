"""Files of many origins are read; damaged ones and code are refused in a sentence."""

from __future__ import annotations

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.models.backbones.vit import ViTBackbone
from bench.models.weights.load import load_weights
from tests.bench.models.made_weights import (
    WIDTH,
    assert_every_tensor_is_accounted_for,
    make_published,
    make_vit,
    write_npz,
)


def test_an_npz_with_numbers_that_have_no_place_is_refused(tmp_path):
    arrays = write_npz(tmp_path / "vit.npz")
    np.savez(
        tmp_path / "more.npz", **arrays, **{"Transformer/adapter/kernel": np.zeros(5, np.float32)}
    )
    with pytest.raises(
        ValueError, match=r"more\.npz' must hold the numbers of one ViT \([\d,]+\), got [\d,]+"
    ):
        load_weights(ViTBackbone("vit", make_vit()), str(tmp_path / "more.npz"))


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
    backbone = ViTBackbone("vit", make_vit((32, 32), class_token=True))
    loaded = load_weights(backbone, str(tmp_path / "checkpoint.pth.tar"))
    assert_every_tensor_is_accounted_for(loaded, backbone)
    assert loaded.missing == ()
    assert len(loaded.matched) == len(backbone.state_dict())
    qkv = backbone.blocks[3].attn_branch.inner.qkv.weight
    assert torch.equal(qkv, published.blocks[3].attn.qkv.weight)
    assert torch.equal(backbone.cls_token, published.cls_token)
    assert torch.equal(backbone.pos_embed, published.pos_embed)
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
