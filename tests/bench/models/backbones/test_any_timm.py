"""Networks of timm by name: what is built as timm builds it, and what is refused."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench.models import registry
from bench.models.build import build_backbone, build_random
from bench.models.weights.catalogue import TABLE
from bench.models.weights.load import timm_name
from tests.bench.models.made_weights import assert_every_tensor_is_accounted_for


@pytest.mark.parametrize(
    "entry", [entry for entry in TABLE if entry.rebuild], ids=lambda entry: entry.tag
)
def test_architectures_with_more_parts_are_built_by_timm(entry, tmp_path):
    with torch.device("meta"):
        theirs = timm.create_model(entry.tag.split(".")[0], pretrained=False, num_classes=0)
        ours = build_random(entry.backbone, 3, (224, 224), entry.name)
    assert {timm_name(name) for name in ours.state_dict()} == theirs.state_dict().keys()
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
