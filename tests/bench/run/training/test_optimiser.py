"""Parameter groups: by the part that a parameter belongs to, and by whether it gets decay."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.references import registry
from bench.models.references.base import Task
from bench.models.references.network import build_network
from bench.models.segmenter import apply_method
from bench.run.training.loop import TrainingData, fit
from bench.run.training.optimiser import build_optimizer, list_undecayed
from bench.specs.protocol import Protocol, TrainSpec, override
from bench.tuning.effects import find_idle

PATCH = (2, 32, 32)
RATES = TrainSpec(lr=1e-4, decoder_lr=1e-2, weight_decay=1e-3, decoder_weight_decay=1e-1)


def make_model(method="lora", backbone="tiny_vit", also_train="decoder"):
    model = build_segmenter(Blueprint(backbone), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method), seed=0, also_train=also_train)
    return model


def groups_of(model, spec=RATES):
    """Return the names of the parameters of each group, and (rate, decay) of each group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held, rates = {}, {}
    for group in build_optimizer(model, spec).param_groups:
        held[group["name"]] = {names[id(each)] for each in group["params"]}
        rates[group["name"]] = (group["lr"], group["weight_decay"])
    return held, rates


OWN_PARTS = {name: {"backbone"} for name in ("full", "scratch", "bitfit", "norm", "partial")}
OWN_PARTS |= {name: {"backbone", "method"} for name in ("difffit", "gps", "aim")}
OWN_PARTS["linear"] = set()


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
@pytest.mark.parametrize("method", methods.METHODS)
def test_a_group_holds_the_part_that_it_is_named_after(method, backbone):
    plain = build_segmenter(Blueprint(backbone), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    shapes = sorted(tuple(each.shape) for each in plain.backbone.parameters())
    model = make_model(method, backbone)
    held, rates = groups_of(model)
    parts = {}
    for name, parameters in held.items():
        parts.setdefault(name.removesuffix(", undecayed"), set()).update(parameters)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert set().union(*parts.values()) == trained
    assert parts["decoder"] == {name for name in trained if name.startswith("decoder.")}
    own = OWN_PARTS.get(method, {"method"})
    assert set(parts) - {"decoder"} == own
    if method in ("full", "scratch"):
        assert shapes == sorted(tuple(model.get_parameter(n).shape) for n in parts["backbone"])
    for name, found in rates.items():
        lr, decay = (1e-2, 1e-1) if name.startswith("decoder") else (1e-4, 1e-3)
        assert found == (lr, 0.0 if name.endswith("undecayed") else decay)


def test_what_the_protocol_thaws_is_of_the_backbone_and_not_of_the_method():
    held, rates = groups_of(make_model("lora", also_train="paper"))
    thawed = {"backbone.pos_embed", "backbone.norm.weight", "backbone.norm.bias"}
    assert held["backbone, undecayed"] == thawed
    assert all(".lora_" in name or "lora" in name for name in held["method"])
    assert rates["backbone, undecayed"] == (1e-4, 0.0)


def test_a_parameter_is_grouped_by_its_place_and_not_by_its_name():
    model = make_model("lora")
    model.backbone.decoder_adapter = nn.Linear(4, 4)
    model.decoder.lora_norm_bias = nn.Parameter(torch.ones(2, 2))
    held, _ = groups_of(model)
    assert "backbone.decoder_adapter.weight" in held["method"]
    assert "backbone.decoder_adapter.bias" in held["method, undecayed"]
    assert "decoder.lora_norm_bias" in held["decoder"]


@pytest.mark.parametrize(
    ("method", "backbone", "others"),
    [
        ("full", "tiny_vit", {"pos_embed"}),
        ("full", "tiny_swin", {"relative_position_bias_table"}),
        ("vpt_deep", "tiny_vit", {"tokens"}),
        ("vpt_shallow", "tiny_swin", {"tokens"}),
        ("med_adapter", "tiny_vit", set()),
        ("arena", "tiny_vit", {"diagonal"}),
        ("aim", "tiny_swin", {"slices"}),
    ],
)
def test_biases_norms_scales_prompts_and_position_embeddings_get_no_decay(method, backbone, others):
    model = make_model(method, backbone)
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    undecayed = list_undecayed(model)
    kept = {name for name, each in trained.items() if each in undecayed}
    matrices = {
        name
        for name, each in trained.items()
        if name.endswith(".weight") and each.ndim >= 2  # of linear layers and convolutions
    } | {name for name in trained if name.endswith(("lora_a", "lora_b"))}
    assert kept == trained.keys() - matrices
    assert others == {name.rpartition(".")[2] for name in kept if trained[name].ndim > 1}
    assert kept


@pytest.mark.parametrize(
    ("name", "n_positions"), [("net:unetr", 1), ("net:swin_unetr", 8), ("net:nnunet", 0)]
)
def test_a_network_that_is_trained_whole_has_one_rate_and_no_decay_of_positions(name, n_positions):
    with torch.device("meta"):
        model = build_network(registry.build(name), Task(2, 3, (64, 64, 64)), seed=0)
    held, rates = groups_of(model)
    assert rates == {"backbone": (1e-4, 1e-3), "backbone, undecayed": (1e-4, 0.0)}
    shapes = [model.get_parameter(each).ndim for each in held["backbone, undecayed"]]
    assert sum(ndim > 1 for ndim in shapes) == n_positions
    assert all(each.endswith("weight") for each in held["backbone"])


def test_a_step_without_gradients_shrinks_matrices_alone():
    model = make_model("full")
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimizer = build_optimizer(model, RATES)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    undecayed = list_undecayed(model)
    for name, each in model.named_parameters():
        lr, decay = (1e-2, 1e-1) if name.startswith("decoder.") else (1e-4, 1e-3)
        factor = 1.0 if each in undecayed else 1 - lr * decay
        torch.testing.assert_close(each.detach(), factor * before[name])


def test_decay_of_all_with_one_rate_is_torchs_optimiser_over_one_group():
    spec = TrainSpec(lr=1e-3, decoder_lr=1e-3, decay="all")
    first, second = make_model("med_adapter"), make_model("med_adapter")
    trained = [each for each in second.parameters() if each.requires_grad]
    optimizers = (
        build_optimizer(first, spec),
        torch.optim.AdamW(trained, 1e-3, weight_decay=1e-2, fused=True),
    )
    image = torch.randn(1, 2, *PATCH, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        for model, optimizer in zip((first, second), optimizers, strict=True):
            optimizer.zero_grad()
            model(image).square().mean().backward()
            optimizer.step()
    assert all(
        torch.equal(one, other)
        for one, other in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert [group["name"] for group in optimizers[0].param_groups] == ["decoder", "method"]


def test_the_schedule_moves_the_rates_of_all_groups(monkeypatch):
    seen = []
    step = torch.optim.AdamW.step

    def record(self, *args, **kwargs):
        seen.append({group["name"]: group["lr"] for group in self.param_groups})
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    image = torch.randn(1, 2, *PATCH)
    batch = {"image": image, "label": (image[:, 0] > 0).long()}
    data = TrainingData(lambda epoch: [batch] * 2, 2, lambda: 0.5)
    spec = TrainSpec(epochs=3, lr=1e-4, decoder_lr=1e-2, warmup_frac=0.5)
    fitted = fit(make_model(), data, spec, Fabric(accelerator="cpu", devices=1), lambda *_: None)
    assert [round(rates["method"] / 1e-4, 6) for rates in seen[:3]] == [0.333333, 0.666667, 1]
    assert len(seen) == 6
    for rates in seen:
        assert rates["decoder"] == pytest.approx(100 * rates["method"])
        assert rates["decoder, undecayed"] == rates["decoder"]
    for record_ in fitted.curve:
        assert record_.decoder_learning_rate == pytest.approx(100 * record_.learning_rate)


IDLE = {
    ("linear", "decoder", "matrices"): {"train.lr", "train.weight_decay"},
    ("linear", "paper", "matrices"): {"train.weight_decay"},  # norm and position embedding train
    ("linear", "paper", "all"): set(),
    ("vpt_deep", "decoder", "matrices"): {"train.weight_decay"},  # prompts get no decay
    ("vpt_deep", "decoder", "all"): set(),
    ("lora", "decoder", "matrices"): set(),
    ("full", "decoder", "matrices"): set(),
}


@pytest.mark.parametrize("key", IDLE)
def test_settings_that_act_on_no_parameter_are_known(key):
    method, also_train, decay = key
    protocol = override(Protocol(), f"model.also_train={also_train}")
    protocol = override(protocol, f"train.decay={decay}")
    assert find_idle(methods.build(method), protocol) == IDLE[key]
