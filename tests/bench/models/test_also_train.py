from __future__ import annotations

import re

import pytest
import torch

import methods
from bench.cost import measure
from bench.models import registry
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.delta import delta_state
from bench.models.segmenter import apply_method
from bench.specs.protocol import ModelSpec, Protocol, SpecError, override
from methods import surgery
from methods.low_rank.lora import LowRankUpdate
from methods.sites import Role


def build(backbone="tiny_vit", patch=(3, 64, 64), channels=2, classes=3, **options):
    blueprint = Blueprint(backbone, **options)
    return build_segmenter(blueprint, in_channels=channels, n_classes=classes, patch=patch, seed=0)


def trained(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("backbone", "method", "n_total", "n_trained"),
    [
        ("vit_b16", "full", 100_849_156, 100_849_156),
        ("vit_b16", "linear", 100_849_156, 15_007_492),
        ("vit_b16", "med_adapter", 103_694_852, 17_853_188),
        ("swin_t_unet", "full", 27_154_116, 27_154_116),
        ("swin_t_unet", "linear", 27_154_116, 6_751_530),
        ("swin_t_unet", "med_adapter", 27_891_684, 7_489_098),
    ],
)
@pytest.mark.parametrize("suffix", ["", "_medtuning"])
def test_published_counts_under_the_papers_protocol(backbone, method, n_total, n_trained, suffix):
    options = {"decoder": registry.get(backbone).decoder + suffix, "prefix_tokens": "drop"}
    with torch.device("meta"):
        model = build(backbone, (128, 128, 128), channels=4, classes=4, **options)
        apply_method(model, methods.build(method), seed=0, also_train="paper")
    counts = measure.count_parameters(model)
    assert counts.total == n_total
    assert trained(model) == counts.tuned + counts.decoder + counts.other == n_trained


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize(
    ("backbone", "n_other", "parts"),
    [("tiny_vit", 8 * 8 * 128 + 2 * 128, {"pos_embed", "norm.weight", "norm.bias"}),
     ("tiny_swin", 2 * 8 * 24, {"norm.weight", "norm.bias"})],
)  # fmt: skip
def test_the_protocol_is_counted_apart_from_the_method(backbone, n_other, parts, method):
    built = methods.build(method)
    expected = built.expected_tuned(build(backbone).backbone)
    found = {}
    for also_train in ("decoder", "paper"):
        model = build(backbone)
        apply_method(model, built, seed=0, also_train=also_train)
        counts = measure.count_parameters(model)
        assert counts.tuned == expected
        assert trained(model) == counts.tuned + counts.decoder + counts.other
        found[also_train] = (counts.other, set(model.tuned_parameters()))
    assert found["decoder"][0] == 0
    own = set(build(backbone).backbone.state_dict()) & found["decoder"][1] & parts
    sizes = {name: build(backbone).backbone.get_parameter(name).numel() for name in own}
    assert found["paper"][0] == n_other - sum(sizes.values())  # less what the method trains itself
    added = {
        re.sub(r"\.(inner|base)\.", ".", name) for name in found["paper"][1] - found["decoder"][1]
    }
    assert added == parts - own


def test_what_the_protocol_trains_moves_and_is_kept():
    model = build()
    apply_method(model, methods.build("linear"), seed=0, also_train="paper")
    start = {
        name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()
    }
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad]
    )
    model(torch.randn(1, 2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    moved = {
        name
        for name, value in model.backbone.named_parameters()
        if not torch.equal(value, start[name])
    }
    assert moved == {"pos_embed", "norm.weight", "norm.bias"}
    assert {f"backbone.{name}" for name in moved} <= delta_state(model).keys()


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("method", ["linear", "med_adapter"])
def test_backbone_mode_decides_about_frozen_modules(mode, method):
    model = build("swin_t_unet", (2, 32, 32))
    before = list(model.backbone.modules())[1:]
    apply_method(model, methods.build(method), seed=0, backbone_mode=mode)
    for training in (True, False, True):
        model.train(training)
        assert len(before) > 40
        assert {module.training for module in before} == {training and mode == "train"}
        assert {module.training for module in model.decoder.modules()} == {training}
    torch.manual_seed(0)
    slices = torch.randn(2, 2, 32, 32)
    with torch.no_grad():
        draws = [model.backbone(slices, 1, 2)[-1] for _ in range(4)]
    if method == "linear":  # drop path is at work exactly in training mode
        assert all(torch.equal(draws[0], draw) for draw in draws) == (mode == "eval")


def record_streams(model):
    """Run once in training mode; return of every block whether its output is part of a graph."""
    tracked = []
    blocks = [site.module for site in model.backbone.sites if site.role is Role.BLOCK]
    handles = [
        block.register_forward_hook(lambda _m, _i, y: tracked.append(y.requires_grad))
        for block in blocks
    ]
    model.train()
    model(torch.randn(1, 2, 3, 64, 64)).square().mean().backward()
    for handle in handles:
        handle.remove()
    return tracked


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_nothing_in_front_of_the_first_tuned_site_is_part_of_a_graph(backbone):
    frozen = build(backbone)
    apply_method(frozen, methods.build("linear"), seed=0)
    assert not any(record_streams(frozen))

    late = build(backbone)
    apply_method(late, methods.build("linear"), seed=0)
    *others, last = (site for site in late.backbone.sites if site.role is Role.QKV)
    surgery.wrap(
        last,
        lambda base: LowRankUpdate(base, n_parts=3, adapted=(0, 2), rank=2, scale=1.0, dropout=0.0),
    )
    assert record_streams(late) == [False] * len(others) + [True]

    paper = build(backbone)
    apply_method(paper, methods.build("linear"), seed=0, also_train="paper")
    has_position_embedding = backbone == "tiny_vit"  # in front of all blocks
    assert set(record_streams(paper)) == {has_position_embedding}


def test_unknown_settings_are_one_sentence():
    model = build()
    with pytest.raises(ValueError, match=r"model\.also_train: must be decoder or paper, got 'all'"):
        apply_method(model, methods.build("linear"), seed=0, also_train="all")
    with pytest.raises(ValueError, match=r"model\.backbone_mode: must be eval or train, got 'off'"):
        apply_method(model, methods.build("linear"), seed=0, backbone_mode="off")
    with pytest.raises(SpecError, match=r"model\.also_train: must be decoder or paper, got head"):
        override(Protocol(), "model.also_train=head")
    assert override(Protocol(), "model.backbone_mode=train").model == ModelSpec(
        backbone_mode="train"
    )
