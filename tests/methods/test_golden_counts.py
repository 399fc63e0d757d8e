"""Parameters that train in the backbone, against published and hand-computed numbers."""

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

import methods
from bench.models.backbones.swin import SwinBackbone
from bench.models.build import build_backbone
from methods.base import apply


def build(name, prefix_tokens="keep"):
    with torch.device("meta"):
        if name != "swin_2222":
            return build_backbone(name, 3, (224, 224), "none", prefix_tokens)
        return SwinBackbone(
            name, SwinTransformer(img_size=128, in_chans=4, depths=(2, 2, 2, 2), window_size=4)
        )


def count(backbone, name, settings):
    method = methods.build(name, settings)
    expected = method.expected_tuned(backbone)
    with torch.device("meta"):
        apply(method, backbone)
    assert (
        sum(parameter.numel() for parameter in backbone.parameters() if parameter.requires_grad)
        == expected
    )
    return expected


@pytest.mark.parametrize(
    ("name", "settings", "on_vit_b16", "on_swin_tiny"),
    [
        ("full", {}, 85_798_656, 27_519_354),
        ("linear", {}, 0, 0),
        ("vpt_shallow", {"n_prompts": 50}, 38_400, 4_800),
        ("vpt_deep", {"n_prompts": 10}, 92_160, 44_160),
        ("lora", {"rank": 4}, 147_456, 70_656),
        ("lora", {}, 294_912, 141_312),
        (
            "lora",
            {"blocks": "last_half"},
            147_456,
            98_304,
        ),  # Swin-T: 8 * 4 * (four of width 384, two of 768)
        ("lora", {"rank": 16}, 589_824, 282_624),
        ("lora", {"placement": "qkvo"}, 589_824, 282_624),
        # rank 8 on query, key and value apart, output, fc1, fc2: 8 * (6 + 2 + 5 + 5) * width,
        # summed over the blocks
        ("lora", {"placement": "all"}, 144 * 9_216, 144 * 4_416),
        ("adaptformer", {"bottleneck": 8}, 156_768, 75_168),
        ("adaptformer", {"bottleneck": 16}, 304_320, 145_920),
        ("adaptformer", {}, 1_189_632, 570_432),
        ("bitfit", {}, 102_912, 52_224),
        ("bitfit", {"position_bias": True}, 102_912, 75_546),
        ("norm", {}, 38_400, 24_768),
        ("partial", {}, 7_089_408, 7_093_464),
        ("houlsby", {"bottleneck": 8}, 313_536, 150_336),
        ("houlsby", {}, 2_379_264, 1_140_864),
        ("houlsby", {"bottleneck": 8, "train_norms": True}, 351_936, 175_104),
        ("pfeiffer", {"bottleneck": 8}, 156_768, 75_168),
        ("pfeiffer", {"bottleneck": 64}, 1_189_632, 570_432),
        ("adapter_plus", {}, 165_984, 79_584),
        ("ssf", {}, 205_824, 104_448),
        # biases, one weight a channel of every norm, and two scales a block
        ("difffit", {}, 140_544, 52_224 + 24_768 // 2 + 2 * 4_416),
    ],
)
def test_counts_of_the_papers(name, settings, on_vit_b16, on_swin_tiny):
    assert count(build("vit_b16"), name, settings) == on_vit_b16
    assert count(build("swin_tiny"), name, settings) == on_swin_tiny


@pytest.mark.parametrize(("name", "n_tuned"), [("vit_b16", 2_845_696), ("swin_2222", 737_568)])
def test_med_adapter_has_the_authors_number_of_parameters(name, n_tuned):
    backbone = build(name)
    backbone.volume.depth = 128
    assert count(backbone, "med_adapter", {}) == n_tuned


def test_a_dropped_class_token_takes_its_position_along():
    dropped = build("vit_b16", "drop")
    assert count(dropped, "full", {}) == 85_798_656 - 2 * 768
