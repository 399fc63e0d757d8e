"""Small networks of timm, and files of weights in the layouts of their authors."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from bench.models.backbones.info import LoadedWeights

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
    """Return a network as it is published: class token, head, 4 x 4 patches, random tensors."""
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
