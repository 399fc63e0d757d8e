"""Which decoder a protocol takes."""

from __future__ import annotations

import pytest
import torch

from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.specs.presets import get_preset


@pytest.mark.parametrize(
    ("backbone", "decoder", "found"),
    [
        ("vit_b16", "own", "upernet"),
        ("vit_b16", "medtuning", "upernet_medtuning"),
        ("swin_tiny", "medtuning", "upernet_medtuning"),
        ("swin_t_unet", "medtuning", "swin_unet_medtuning"),
        ("timm:swin_tiny_patch4_window7_224", "swin_unet_medtuning", "swin_unet_medtuning"),
        ("timm:test_vit", "upernet", "upernet"),
        ("tiny_swin", "linear", "linear"),
    ],
)
def test_a_decoder_is_found_by_name_or_by_the_backbone(backbone, decoder, found):
    assert registry.get_decoder(decoder, backbone).name == found


@pytest.mark.parametrize(
    ("backbone", "facts"),
    [("vit_b16", {"accumulate": False, "align_corners": True}),
     ("swin_t_unet", {"taps_stage_inputs": True})],
)  # fmt: skip
def test_the_papers_preset_takes_the_decoders_of_its_code(backbone, facts):
    model = get_preset("paper").protocol.model
    blueprint = Blueprint(backbone, "none", model.decoder, model.prefix_tokens)
    with torch.device("meta"):
        network = build_segmenter(
            blueprint, in_channels=4, n_classes=4, patch=(2, 128, 128), seed=0
        )
    assert {name: getattr(network.decoder, name) for name in facts} == facts
    assert network.backbone.taps_stage_inputs == (backbone == "swin_t_unet")
    assert "cls_token" not in network.backbone.state_dict()


def test_the_decoder_starts_alike_with_and_without_class_token():
    starts = []
    for prefix_tokens in ("keep", "drop"):
        blueprint = Blueprint("timm:test_vit", prefix_tokens=prefix_tokens)
        model = build_segmenter(blueprint, in_channels=2, n_classes=3, patch=(2, 32, 32), seed=4)
        starts.append(model.decoder.state_dict())
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())
