"""Drop path set after the backbone was built, against timm's own."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from bench.models.backbones.base import set_drop_path
from bench.models.backbones.vit import ViTBackbone
from bench.run.network import build_plain
from bench.specs.protocol import Protocol, override
from bench.specs.run import MethodSpec, RunSpec
from datasets.brats import Brats


def make_vit(rate):
    torch.manual_seed(0)
    return VisionTransformer(
        img_size=32, patch_size=8, num_classes=0, global_pool="", class_token=False,
        embed_dim=48, depth=4, num_heads=3, drop_path_rate=rate,
    )  # fmt: skip


@pytest.mark.parametrize("built_with", [0.0, 0.2])
def test_the_rates_rise_over_the_blocks_as_in_timm(built_with):
    slices = torch.randn(6, 3, 32, 32)
    ours, theirs = ViTBackbone("vit", make_vit(built_with)), make_vit(0.5)
    set_drop_path(ours, 0.5)
    torch.manual_seed(1)
    expected = theirs(slices).transpose(1, 2).reshape(6, 48, 4, 4)
    torch.manual_seed(1)
    assert torch.equal(ours(slices, 2, 3)[-1], expected)


@pytest.mark.parametrize(("setting", "last"), [("own", 0.0), ("0.2", 0.2), ("0.0", 0.0)])
def test_a_run_has_the_drop_path_that_it_was_tuned_to(setting, last, tmp_path):
    protocol = override(Protocol(), "data.patch=2,32,32")
    spec = RunSpec(
        MethodSpec("full"),
        "brats",
        "",
        0,
        0,
        protocol,
        tmp_path,
        chosen=(("train.drop_path", setting),),
    )
    backbone = build_plain(spec, Brats.describe("brats2020")).backbone
    rates = [getattr(module, "drop_prob", 0.0) for module in backbone.modules()]
    assert max(rates) == last
