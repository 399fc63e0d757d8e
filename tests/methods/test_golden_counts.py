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


COUNTS = [
    ("full", {}, 85_798_656, 27_519_354),
    ("linear", {}, 0, 0),
    ("vpt_shallow", {"n_prompts": 50}, 38_400, 4_800),
    ("vpt_shallow", {"n_prompts": 100}, 76_800, 9_600),
    ("vpt_deep", {"n_prompts": 10}, 92_160, 44_160),
    ("vpt_deep", {"n_prompts": 50}, 460_800, 220_800),
    ("vpt_deep", {"n_prompts": 100}, 921_600, 441_600),
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
    ("adaptformer", {"bottleneck": 32}, 599_424, 287_424),
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
    ("convpass", {}, 327_552, 164_352),
    ("convpass", {"placement": "attn"}, 163_776, 82_176),
    ("repadapter", {}, 239_808, 115_008),
    ("repadapter", {"placement": "attn"}, 119_904, 57_504),
    # 2 (2 E h + 5 E + h^2 + 88 h) a block, h = 64
    ("mona", {}, 2_684_928, 1_408_128),
    # (2 E + 2626) * 64 a block
    ("dka", {}, 64 * (2 * 9_216 + 12 * 2_626), 64 * (2 * 4_416 + 12 * 2_626)),
    ("dka", {"weighted": True, "blocks": "last_1"}, 64 * 4_162 + 2, 64 * 4_162 + 2),
    ("fact_tt", {"rank": 4}, 8_448, 2 * 4 * 1_440 + 16 * 144),
    ("fact_tt", {"rank": 8}, 21_504, 2 * 8 * 1_440 + 64 * 144),
    ("fact_tt", {}, 61_440, 2 * 16 * 1_440 + 256 * 144),
    ("fact_tk", {"rank": 8}, 13_952, 2 * 8 * 1_440 + 4 * 8**3 + 8 * 144),
    ("fact_tk", {"rank": 16}, 30_976, 2 * 16 * 1_440 + 4 * 16**3 + 16 * 144),
    ("fact_tk", {}, 86_528, 2 * 32 * 1_440 + 4 * 32**3 + 32 * 144),
    ("conv_lora", {}, 119_232, 4 * 4_416 * 3 + 12 * 8 * 90),
    # r (E + E) + r for each of query and value, r = 8
    ("arena", {"rank": 8}, 294_912 + 12 * 16, 141_312 + 12 * 16),
    ("st_adapter", {}, 7_110_144, 2_172_000),
    ("st_adapter", {"placement": "both"}, 14_220_288, 4_344_000),
    ("aim", {"embedding": False, "final_norm": False}, 10_651_392, 2_709_480),
    # 2 (2 E h + 3 h^2 + h + 2 E) + 2 r^2 a block with h = E / 2, and 2 E r for each width
    (
        "ma_sam",
        {},
        24_892_416,
        2 * (7 * 2_156_544 // 4 + 5 * 4_416 // 2) + 2 * 12 * 32**2 + 2 * 32 * 1_440,
    ),
    # rows: 9 E a block and E of the patch embedding; in Swin 2 E for each merging, without bias
    ("gps", {}, 167_424, 2 * (9 * 4_416 + 96) + 192 + 384 + 768),
    ("gps", {"per_neuron": 5}, 6 * 83_712, 6 * (9 * 4_416 + 96) + 5 * (192 + 384 + 768)),
    ("spt", {}, round(0.005 * 85_798_656), round(0.005 * 27_519_354)),
    # biases, one weight a channel of every norm, and two scales a block
    ("difffit", {}, 140_544, 52_224 + 24_768 // 2 + 2 * 4_416),
]
OTHERS = ("med_adapter", "scratch")  # whose counts depend on more, below, or are those of `full`


def test_every_method_has_its_counts():
    assert {name for name, *_ in COUNTS} | {*OTHERS} == {*methods.names()}


@pytest.mark.parametrize(("name", "settings", "on_vit_b16", "on_swin_tiny"), COUNTS)
def test_counts_of_the_papers(name, settings, on_vit_b16, on_swin_tiny):
    assert count(build("vit_b16"), name, settings) == on_vit_b16
    assert count(build("swin_tiny"), name, settings) == on_swin_tiny


@pytest.mark.parametrize(("name", "n_tuned"), [("vit_b16", 2_845_696), ("swin_2222", 737_568)])
def test_med_adapter_has_the_authors_number_of_parameters(name, n_tuned):
    backbone = build(name)
    backbone.volume.depth = 128
    assert count(backbone, "med_adapter", {}) == n_tuned


def test_aim_has_an_embedding_of_the_depth_and_trains_the_final_norm():
    backbone = build("vit_b16")
    backbone.volume.depth = 8
    assert count(backbone, "aim", {}) == 10_659_072


def test_a_dropped_class_token_takes_its_position_along():
    dropped = build("vit_b16", "drop")
    assert count(dropped, "full", {}) == 85_798_656 - 2 * 768
