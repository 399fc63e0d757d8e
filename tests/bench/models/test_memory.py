from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import methods
from bench.models.backbones.base import Branch
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from methods.executed import Executed, set_execution
from methods.execution import Execution
from methods.sites import Role

DEPTH = 4
WAYS = [Execution(checkpointing=True), Execution(slices_per_chunk=3), Execution(True, 3)]

OTHERS = [name for name in methods.names() if name not in methods.PAPER]
EXACT = {"dropout": 0.0, "drop_path": 0.0}  # chunks draw other random numbers
every_way = pytest.mark.parametrize("way", WAYS, ids=["checkpointing", "chunks", "both"])


def build(backbone, method):
    model = build_segmenter(
        Blueprint(backbone), in_channels=2, n_classes=3, patch=(DEPTH, 32, 32), seed=0
    )
    known = methods.settings(methods.build(method))
    exact = {key: value for key, value in EXACT.items() if key in known}
    apply_method(model, methods.build(method, exact), seed=0)
    return model


def train(model, n_steps):
    """Return the losses of a few steps on one batch, and the state afterwards."""
    generator = torch.Generator().manual_seed(1)
    volume = torch.randn(2, 2, DEPTH, 32, 32, generator=generator)
    target = torch.randint(3, (2, DEPTH, 32, 32), generator=generator)
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.02
    )
    torch.manual_seed(2)  # the dropout's and drop path's
    model.train()
    losses = []
    for _ in range(n_steps):
        loss = nn.functional.cross_entropy(model(volume), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@every_way
@pytest.mark.parametrize("method", methods.PAPER)
@pytest.mark.parametrize("backbone", ["tiny_vit", "timm:test_vit", "tiny_swin"])
def test_training_is_the_same(backbone, method, way):
    compare_training(backbone, method, way)


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("backbone", ["timm:test_vit", "tiny_swin"])
def test_training_of_other_methods_is_the_same(backbone, method):
    chunks = 0 if methods.get(method).info.chunk_note else 3
    compare_training(backbone, method, Execution(True, chunks))


def compare_training(backbone, method, way):
    expected, expected_state = train(build(backbone, method), 5)
    model = build(backbone, method)
    set_execution(model, way)
    losses, state = train(model, 5)
    assert expected[-1] < expected[0] - 1e-3
    assert losses == pytest.approx(expected, abs=1e-6)
    for (
        name,
        value,
    ) in expected_state.items():  # batch norm's running statistics among them: no second update
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)


def test_a_u_net_with_drop_path_draws_the_same():
    expected, _ = train(build("swin_t_unet", "full"), 2)
    model = build("swin_t_unet", "full")
    set_execution(model, Execution(True, 3))
    assert train(model, 2)[0] == pytest.approx(expected, abs=1e-5)


@every_way
@pytest.mark.parametrize("backbone", ["tiny_vit", "timm:test_vit", "tiny_swin"])
def test_outputs_are_the_same(backbone, way):
    model = build(backbone, "med_adapter").eval().double()
    volume = torch.randn(1, 2, DEPTH, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = model(volume)
        set_execution(model, way)
        torch.testing.assert_close(model(volume), expected, rtol=1e-12, atol=1e-12)


class Kept:
    """Counts the bytes that autograd keeps for the backward pass."""

    def __init__(self, model):
        self.n_bytes, self.weights = 0, {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.seen = set()

    def pack(self, tensor):
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self.weights | self.seen:
            self.seen.add(pointer)
            self.n_bytes += tensor.untyped_storage().nbytes()
        return tensor


def kept_bytes(model):
    kept = Kept(model)
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        maps = model.backbone(torch.randn(2 * DEPTH, 2, 32, 32), 2, DEPTH)
    assert any(tap.requires_grad for tap in maps)
    return kept.n_bytes


@pytest.mark.parametrize("backbone", ["tiny_vit", "timm:test_vit", "tiny_swin"])
def test_checkpointing_keeps_less(backbone):
    model = build(backbone, "lora")
    everything = kept_bytes(model)
    set_execution(model, Execution(checkpointing=True))
    assert kept_bytes(model) < 0.3 * everything


def test_modules_in_a_branch_see_chunks_and_modules_around_it_see_all():
    model = build("tiny_vit", "med_adapter")
    set_execution(model, Execution(slices_per_chunk=3))
    seen = {}

    def watch(name, module):
        module.register_forward_hook(
            lambda _m, inputs, _y: seen.setdefault(name, []).append(len(inputs[0]))
        )

    for site in model.backbone.sites:
        if site.index == 0 and site.role in (Role.BLOCK, Role.MLP_BRANCH, Role.QKV):
            watch(site.role.value, site.module)
        if site.index == 0 and site.role is Role.ATTN_BRANCH:
            watch("drop_path", site.module.drop_path)
    model(torch.randn(2, 2, DEPTH, 32, 32))
    assert seen == {"block": [8], "mlp_branch": [8], "drop_path": [8], "qkv": [3, 3, 2]}


def test_a_bare_block_keeps_its_input_alone():
    model = build("tiny_vit", "lora")
    set_execution(model, Execution(checkpointing=True))
    stream = (
        2 * DEPTH * 16 * 128 * 4
    )  # bytes; one for each of six blocks and one for the final norm
    assert 7 * stream <= kept_bytes(model) < 7.1 * stream


def test_an_adapted_block_keeps_its_input_its_output_and_what_is_narrow():
    model = build("tiny_vit", "med_adapter")
    set_execution(model, Execution(True, 3))
    stream = (
        2 * DEPTH * 16 * 128 * 4
    )  # bytes; the first block's input is not kept: nothing in front of it trains
    narrow = 2 * DEPTH * 16 * (128 // 6) * 4
    n_narrow = (
        6 * 2 + 4 * 3
    )  # z and z + g of six blocks; the concatenation of four links and what is handed on
    assert 12 * stream < kept_bytes(model) < 12.2 * stream + n_narrow * narrow


def test_a_frozen_block_is_computed_again_only_as_far_as_its_gradient_needs():
    model = build("tiny_vit", "med_adapter")
    set_execution(model, Execution(checkpointing=True))
    counts = {Role.FC1: [0] * 6, Role.FC2: [0] * 6}

    def count(site):
        def hook(*_):
            counts[site.role][site.index] += 1

        site.module.register_forward_hook(
            hook
        )  # called when a module is through, and not when it is cut short

    for site in model.backbone.sites:
        if site.role in counts:
            count(site)
    maps = model.backbone(torch.randn(2 * DEPTH, 2, 32, 32), 2, DEPTH)
    sum(tap.sum() for tap in maps).backward()
    assert counts == {Role.FC1: [1, 2, 2, 2, 2, 2], Role.FC2: [1] * 6}


def test_every_branch_is_told():
    model = build("tiny_swin", "adaptformer")
    way = Execution(True, 2)
    set_execution(model, way)
    branches = [module for module in model.modules() if isinstance(module, Branch)]
    assert len(branches) == 16
    assert all(branch.execution is way for branch in branches)
    assert copy.deepcopy(branches[0]).execution == way
    assert Branch.execution == Execution()


class Normed(Executed):
    """A module of a user, with a norm that is none of ours."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x):
        return self.run_once(self.norm, x)


def test_a_norm_of_any_kind_follows_a_batch_once():
    x = torch.randn(7, 5, requires_grad=True)
    states = []
    for way in (Execution(), Execution(checkpointing=True)):
        model = Normed()
        set_execution(model, way)
        model(x).square().sum().backward()
        states.append(model.state_dict())
    for name, expected in states[0].items():
        assert torch.equal(states[1][name], expected)


def test_a_negative_chunk_is_refused():
    with pytest.raises(
        ValueError, match=r"execution: slices_per_chunk must be >= 0, got -1 \(0 = all at once\)"
    ):
        Execution(slices_per_chunk=-1)


def test_how_it_computes_is_no_part_of_what_a_run_is(monkeypatch):
    from bench.cli import app, run

    calls = []

    def record(experiment, executor, *_):
        calls.append((experiment.protocol, executor.slots))

    monkeypatch.setattr(run, "make_plan", record)
    monkeypatch.setattr(run, "run_plan", lambda *_: 0)
    for options in ([], ["--slices-per-chunk", "8", "--checkpointing"]):
        assert app.main(["run", "--device", "cpu", *options]) == 0
    (protocol, plain), (same, saving) = calls
    assert protocol == same
    assert plain.means.execution == Execution()
    assert saving.means.execution == Execution(checkpointing=True, slices_per_chunk=8)
