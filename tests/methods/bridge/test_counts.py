"""How many parameters a type trains on ViT-B/16 and on Swin-T, against the library's own counts."""

from __future__ import annotations

import pytest
import torch

import methods
from bench.models.build import build_backbone

# read off the library on timm's networks, all blocks, target qkv unless said otherwise
COUNTS = [
    ("lora", {}, 294_912, 141_312),
    ("dora", {}, 322_560, 154_560),
    ("rslora", {}, 294_912, 141_312),
    ("adalora", {}, 442_512, 12 * 4 * 4_416 + 12 * 12),
    ("loha", {}, 589_824, 282_624),
    ("lokr", {}, 21_504, 11_488),
    ("ia3", {}, 64_512, 30_912),
    ("oft", {}, 142_848, 68_448),
    ("boft", {}, 110_592, 8 * 4_416 + 4 * 4_416),
    ("hra", {}, 73_728, 35_328),
    ("vera", {}, 30_720, 16_320),
    ("pvera", {}, 33_792, 12 * 512 + 3 * 4_416),
    ("fourierft", {}, 12_000, 12_000),
    ("waveft", {"n_frequency": 2_592}, 31_104, 31_104),
    ("c3a", {"block_size": 256}, 82_944, None),
    ("c3a", {"block_size": 96}, 221_184, 3 * (2 * 96 + 2 * 384 + 6 * 1_536 + 2 * 6_144)),
    ("vblora", {"vector_length": 256}, 212_992, None),
    ("miss", {"r": 64}, 1_769_472, 64 * 3 * 4_416),
    ("miss", {"r": 32}, 884_736, 32 * 3 * 4_416),
    ("randlora", {}, 230_400, None),
    ("shira", {}, 294_912, 141_312),
    ("ln_tuning", {}, 38_400, 24_576),
    ("road", {}, 27_648, 13_248),
    ("hira", {}, 1_179_648, 32 * 4 * 4_416),
]


@pytest.fixture(scope="module")
def outlines():
    with torch.device("meta"):
        return [build_backbone(name, 3, (224, 224), "none") for name in ("vit_b16", "swin_tiny")]


@pytest.mark.parametrize(("name", "settings", "on_vit", "on_swin"), COUNTS)
def test_closed_forms_equal_the_librarys_counts(name, settings, on_vit, on_swin, outlines):
    method = methods.build(f"peft:{name}", settings)
    for backbone, expected in zip(outlines, (on_vit, on_swin), strict=True):
        assert expected is None or method.expected_tuned(backbone) == expected
