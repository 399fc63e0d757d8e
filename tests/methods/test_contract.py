"""What every method promises, on the small backbones and, where width matters, the paper's two."""

from __future__ import annotations

import copy
import itertools
from dataclasses import fields
from math import nan
from types import SimpleNamespace

import pytest
import torch

import methods
from bench.models.contract import PROMISES, Subject, predict
from bench.models.delta import delta_state
from methods.base import MissingRole, apply

OF_BACKBONE = [title for title in PROMISES if title != "distinct"]  # this one is of methods alone
OF_WIDTH = ["step 0", "tuned parameters", "gradients"]  # what numbers of another size may break
VARIANTS = [
    ("lora", {"placement": "all", "rank": 2}),
    ("lora", {"placement": "qkvo", "alpha": 2.0, "dropout": 0.2}),
    ("lora", {"blocks": "last_half"}),
    ("vpt_deep", {"n_prompts": 1, "dropout": 0.5}),
    ("adaptformer", {"bottleneck": 5, "dropout": 0.0}),
    ("med_adapter", {"zero_init": True}),
    ("med_adapter", {"fourier": False, "conv5": False, "ratio": 4, "inter_stage": False}),
    ("med_adapter", {"conv3": False, "blocks": "last_in_stage", "ratio": 5}),
]
NEW_VARIANTS = [
    ("full", {"blocks": "first_2"}),
    ("vpt_shallow", {"blocks": "2-4"}),
    ("houlsby", {"train_norms": True, "bottleneck": 32}),
    ("ssf", {"std": 0.0}),
    ("dka", {"weighted": True, "kernel": 7, "bottleneck": 8}),
    ("aim", {"final_norm": False, "embedding": False}),
    ("st_adapter", {"placement": "both"}),
    ("spt", {"share": 0.02, "alpha": 200}),
    ("bitfit", {"position_bias": True}),
]
OTHERS = [name for name in methods.names() if name not in methods.PAPER]
DEFAULTS = [methods.build(name) for name in methods.PAPER]
METHODS = DEFAULTS + [methods.build(*variant) for variant in VARIANTS]
NEW = [methods.build(name) for name in OTHERS]
NEW += [methods.build(*variant) for variant in NEW_VARIANTS]


def name_pairs(chosen, backbones):
    """Parametrize over every method on every backbone."""
    pairs = itertools.product(backbones, chosen)
    named = [pytest.param(*each, id=f"{methods.label(each[1])}-{each[0]}") for each in pairs]
    return pytest.mark.parametrize(("backbone", "method"), named)


every_method = pytest.mark.parametrize("method", METHODS + NEW, ids=methods.label)
every_pair = name_pairs(METHODS + NEW, ["tiny_vit", "tiny_swin"])
every_title = pytest.mark.parametrize("title", PROMISES)


@every_pair
@every_title
def test_the_method_keeps_its_promise(title, method, backbone):
    assert PROMISES[title](Subject(method, backbone)) is None


@pytest.mark.slow
@name_pairs(METHODS + NEW, ["timm:test_vit"])  # with a class token
@pytest.mark.parametrize("title", OF_BACKBONE)
def test_the_promise_holds_with_a_class_token(title, method, backbone):
    assert PROMISES[title](Subject(method, backbone)) is None


@pytest.mark.slow
@name_pairs(DEFAULTS, ["tiny_vit4", "vit_b16", "swin_t_unet"])
@pytest.mark.parametrize("title", OF_WIDTH)
def test_the_promise_holds_at_other_sizes(title, method, backbone):
    assert PROMISES[title](Subject(method, backbone)) is None


@every_pair
def test_the_decoder_trains_and_the_backbone_has_frozen_parts(method, backbone, tuned):
    model = tuned(backbone, method)
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())
    assert len(model.backbone.state_dict()) > 40


@every_pair
def test_frozen_modules_stay_in_evaluation_mode(method, backbone, plain):
    model = plain(backbone)
    before = list(model.backbone.modules())[1:]
    apply(method, model.backbone)
    inserted = [
        module
        for module in model.backbone.modules()
        if module not in before and module is not model.backbone
    ]
    for mode in (True, False, True):
        model.train(mode)
        assert len(before) > 40
        held = set(model.backbone.frozen_modules)
        assert held == set(before) or method.tunes_backbone
        assert not any(module.training for module in held)
        thawed = [module for module in before if module not in held]
        assert {module.training for module in thawed} <= {mode}
        assert {module.training for module in inserted} <= {mode}
        assert {module.training for module in model.decoder.modules()} == {mode}


@every_pair
def test_a_delta_is_what_was_tuned(method, backbone, tuned):
    model = tuned(backbone, method)
    state = delta_state(model)
    assert {name for name in state if name.startswith("backbone.")} >= {
        f"backbone.{name}" for name in model.tuned_parameters()
    }
    frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert not frozen & state.keys()


@every_pair
def test_same_seed_gives_the_same_bits(method, backbone, tuned, volume, train_steps):
    states = []
    for _ in range(2):
        model = tuned(backbone, method, seed=3)
        torch.manual_seed(11)  # the dropout's
        train_steps(model, volume, 2)
        states.append(delta_state(model))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@every_pair
def test_injection_leaves_decoder_backbone_and_random_state_alone(method, backbone, plain, tuned):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    without, with_method = plain(backbone), tuned(backbone, method, seed=8)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in without.decoder.state_dict().items():
        assert torch.equal(with_method.decoder.state_dict()[key], value)
    held = {id(module): module for module in with_method.backbone.frozen_modules} or None
    if held:
        kernels = [
            max(model.backbone.patch_embed.parameters(), key=torch.numel)
            for model in (without, with_method)
        ]
        assert torch.equal(*kernels)


@every_pair
def test_mixed_precision_trains(method, backbone, plain, tuned, volume):
    model = tuned(backbone, method).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(volume)
    assert logits.isfinite().all()
    logits.float().square().mean().backward()
    gradients = [
        parameter.grad
        for parameter in model.tuned_parameters().values()
        if parameter.grad is not None
    ]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert bool(gradients) == (method.expected_tuned(plain(backbone).backbone) > 0)


@every_method
def test_a_network_can_be_copied_after_a_step(method, backbone, tuned, volume, train_steps):
    model = tuned(backbone, method)
    train_steps(model, volume, 1)
    assert torch.equal(predict(copy.deepcopy(model), volume), predict(model, volume))


@every_method
def test_a_backbone_without_sites_is_refused_by_name(method):
    backbone = SimpleNamespace(name="brick", sites=())
    if method.needed_roles():
        with pytest.raises(
            MissingRole, match=rf"{method.info.name} needs role '\w+'; backbone 'brick' offers none"
        ):
            apply(method, backbone)


def bad_values(item):
    """Return, of some values at the ends of what a setting may be, those that it must not be."""
    tried = {int: (-1, 0), float: (-1.0, 0.0, 1.0, nan), str: ("nonsense",), bool: ()}
    must_be = item.metadata["must_be"]
    return [value for value in tried[type(item.default)] if not must_be.holds(value)]


def test_every_method_is_in_the_folder_of_its_family():
    for name in methods.names():
        info = methods.get(name).info
        assert methods.METHODS[name].split(".")[1] == info.family
        assert info.year is not None or info.family == "reference"


@pytest.mark.parametrize("name", methods.names())
def test_bad_settings_raise_with_their_name(name):
    kind = methods.get(name)
    for item in fields(kind):
        assert item.metadata["help"]
        bad = bad_values(item)
        assert bad or isinstance(item.default, bool), f"{name}: {item.name} takes anything"
        for value in bad:
            with pytest.raises(ValueError, match=rf"{name}: {item.name} must be .*, got {value}"):
                methods.build(name, {item.name: value})
