"""Every reference network keeps its promises, refuses what it does not take, and has its counts."""

import pytest
import torch
from torch import nn

from bench.cost.reference_counts import count_reference
from bench.models.references import base, contract, registry
from bench.models.references.base import Task
from bench.models.references.network import build_network

SMALL = {
    "net:nnunet": {"features": 2},
    "net:nnunet_resenc": {"features": 2},
    "net:unetr": {"features": 2, "hidden": 12, "mlp": 12, "heads": 2},
    "net:swin_unetr": {"features": 12},
}
BRATS = Task(in_channels=4, n_classes=4, patch=(128, 128, 128))
DEMO = Task(in_channels=4, n_classes=4, patch=(16, 64, 64))


def list_promises():
    for name in registry.names():
        for heading in contract.PROMISES:
            trains_windows = name == "net:swin_unetr" and heading in (
                "gradients",
                "delta round trip",
            )
            yield pytest.param(name, heading, marks=[pytest.mark.slow] * trains_windows)


@pytest.mark.parametrize(("name", "heading"), list_promises())
def test_a_network_keeps_its_promises(name, heading):
    assert contract.PROMISES[heading](registry.build(name, SMALL[name])) is None


@pytest.mark.parametrize(
    ("name", "n_parameters", "training_gmac", "kept_gib"),
    [
        ("net:nnunet", 31_196_708, 1441.2, 3.36),
        ("net:nnunet_resenc", 102_350_884, 2161.7, 4.10),
        ("net:unetr", 102_449_732, 540.8, 2.46),
        ("net:swin_unetr", 62_191_990, 2303.6, 11.42),
    ],
)
def test_counts_for_a_patch_of_brats(name, n_parameters, training_gmac, kept_gib):
    found = count_reference(registry.build(name), BRATS)
    assert found.n_parameters == n_parameters
    assert round(found.training_gmac, 1) == training_gmac
    assert round(found.saved_bytes / 2**30, 2) == kept_gib


def test_nnu_net_has_no_layer_but_those_of_its_authors_network():
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    theirs = PlainConvUNet(
        4, 6, (32, 64, 128, 256, 320, 320), nn.Conv3d, 3, (1, 2, 2, 2, 2, 2), 2, 4, 2,
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
    )  # fmt: skip
    shapes = {name: each.shape for name, each in theirs.named_parameters()}
    ours = registry.build("net:nnunet").build(BRATS)
    heads = [name for name in shapes if name.startswith("decoder.seg_layers.")]
    kept = {name: shapes[name] for name in shapes if name not in heads}
    last = {name.replace(".4.", ".0."): shapes[name] for name in heads if ".4." in name}
    assert {name: each.shape for name, each in ours.named_parameters()} == kept | last


def test_a_patch_is_filled_up_with_zeros_where_it_is_asked_for():
    padded = registry.build("net:swin_unetr", {"features": 12, "pad": "true"})
    model = build_network(padded, DEMO, seed=0).eval()
    volume = torch.randn(1, 4, *DEMO.patch)
    zeros = torch.zeros(1, 4, 32 - 16, 64, 64)
    with torch.no_grad():
        whole = model.backbone.network(torch.cat([volume, zeros], dim=2))
        assert torch.equal(model(volume), whole[:, :, :16])


@pytest.mark.parametrize(
    ("name", "n_names"),
    [("net:nnunet", 0), ("net:nnunet_resenc", 0), ("net:unetr", 1), ("net:swin_unetr", 8)],
)
def test_position_embeddings_are_known_by_name(name, n_names):
    trunk = contract.build_for(registry.build(name, SMALL[name])).backbone
    names = trunk.no_weight_decay()
    assert len(names) == n_names  # one, or one a block
    assert all(trunk.get_parameter(each).ndim > 1 for each in names)


@pytest.mark.parametrize(
    ("name", "settings", "task", "sentence"),
    [
        ("net:swin_unetr", {}, DEMO, r"net:swin_unetr: data.patch must be divisible by 32x32x32, "
         r"got 16x64x64 \(--set data.patch=32,64,64; or net:swin_unetr\[pad=true\] adds"),
        ("net:swin_unetr", {"pad": "true"}, Task(4, 4, (16, 32, 32)), "longer than 32 on one axis"),
        ("net:unetr", {}, Task(4, 4, (8, 64, 64)), "net:unetr: data.patch must be .* 16x16x16"),
        ("net:nnunet", {}, Task(4, 4, (16, 60, 64)), "net:nnunet: data.patch .* 4x16x16, got 16x6"),
        ("net:nnunet", {"pad": "true"}, Task(4, 4, (4, 4, 4)), "must be long enough .* got 4x4x4"),
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_one_sentence(name, settings, task, sentence):
    with pytest.raises(ValueError, match=sentence):
        registry.build(name, settings).find_input(task)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("net:nnunt", {}, r"unknown network 'net:nnunt' \(did you mean 'net:nnunet'\?\)"),
        ("net:unetr", {"hidden": "50"}, r"unetr: hidden must be divisible by heads \(12\), got 50"),
        ("net:swin_unetr", {"features": "18"}, "net:swin_unetr: features must be a multiple of 12"),
        ("net:nnunet", {"depth": "3"}, "net:nnunet: unknown setting 'depth'"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_setting_is_one_sentence(name, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        registry.build(name, settings)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"net:nnunet: needs the package .* \(pip install dynamic-"
    ):
        registry.build("net:nnunet").find_input(BRATS)
