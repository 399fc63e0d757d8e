"""GPS and SPT: what the gradients choose, against choices made by hand."""

from itertools import count

import pytest
import torch
from torch import nn

import methods
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.contract import Subject, iter_losses, train
from bench.models.delta import delta_state, load_delta
from bench.models.segmenter import apply_method
from bench.models.selection import run_selection
from methods.selective.sparse import SparseUpdate
from methods.selective.spt import SensitiveLinear, SensitivitySelection, allocate, spread

PATCH = (2, 32, 32)
LAYERS = (".qkv", ".proj", ".fc1", ".fc2", ".reduction")


def gradients_of_batches(subject, n_batches, squared):
    """Return the summed gradients of the plain network's weights, by name."""
    model, volume = subject.build_plain().train(), subject.make_volume()
    losses = iter_losses(model, volume)
    total = {}
    for _ in range(n_batches):
        model.zero_grad()
        next(losses).backward()
        for name, parameter in model.backbone.named_parameters():
            grad = parameter.grad**2 if squared else parameter.grad
            total[name] = total.get(name, 0) + grad
    return total


def updates_of(model):
    return {
        name: module
        for name, module in model.backbone.named_modules()
        if isinstance(module, SparseUpdate)
    }


def select_on(subject, seed=0):
    model = subject.build_plain()
    apply_method(model, subject.method, seed)
    run_selection(model.train(), iter_losses(model, subject.make_volume()))
    return model


@pytest.mark.parametrize("name", ["gps", "spt"])
def test_the_pass_leaves_the_statistics_of_the_decoders_norms_alone(name):
    model = build_segmenter(
        Blueprint("tiny_vit", decoder="upernet"), in_channels=2, n_classes=3, patch=PATCH, seed=0
    )
    apply_method(model, methods.build(name), seed=0)
    before = {key: value.clone() for key, value in model.decoder.state_dict().items()}
    assert any("running_mean" in key for key in before)
    losses = (model(torch.randn(1, 2, *PATCH)).square().mean() for _ in count())
    run_selection(model.train(), losses)
    after = model.decoder.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_gps_takes_the_largest_gradients_of_each_row(backbone):
    subject = Subject(methods.build("gps", {"per_neuron": 2, "n_batches": 2}), backbone)
    gradients = gradients_of_batches(subject, 2, squared=False)
    model = select_on(subject)
    updates = updates_of(model)
    layers = [name for name in gradients if name.endswith(".weight") and gradients[name].ndim > 1]
    assert len(updates) == len(layers) > 20
    for name, update in updates.items():
        expected = torch.zeros_like(update.weight).flatten(1)
        for row, gradient in enumerate(gradients[f"{name}.weight"].flatten(1).abs()):
            for _ in range(2):
                best = int(gradient.argmax())
                expected[row, best], gradient[best] = 1, -1
        update.values.data.fill_(1.0)
        assert torch.equal(update.change().flatten(1), expected)
    frozen = {n for n, p in model.backbone.named_parameters() if not p.requires_grad}
    assert {name.replace(".base", "") for name in frozen if not name.endswith(".base.weight")} == {
        name
        for name in gradients
        if "norm" in name or "pos_embed" in name or "relative_position" in name
    }


def test_a_sparse_change_is_a_change_of_the_weight(pair):
    """Forward and gradient of y = (W + M * dW) x, in float64."""
    pair.apply(methods.build("gps", {"per_neuron": 3}))
    named = dict(pair.backbone.named_modules())
    for name, module in named.items():
        if isinstance(module, SparseUpdate):
            mask = torch.zeros(module.weight.numel(), module.values.numel(), dtype=torch.float64)
            mask[module.index, torch.arange(module.values.numel())] = 1
            theirs = pair.name_in_timm(f"{name}.").rstrip(".")
            change = (mask @ module.values).reshape(module.weight.shape)
            pair.put(f"{theirs}.weight", module.weight.detach() + change)
            pair.put(f"{theirs}.bias", module.base.bias)
    pair.assert_equal(pair.run(lambda _, block, x: block(x)))


def test_a_sensitive_layer_has_single_weights_and_updates_in_its_weight(pair):
    """Forward and gradient of y = (W + B A + M * dW) x, in float64, with all kinds of choices."""
    pair.apply(methods.build("spt", {"rank": 2}))
    found = {n: each for n, each in updates_of(pair).items() if isinstance(each, SensitiveLinear)}
    generator = torch.Generator().manual_seed(7)
    for number, (name, update) in enumerate(found.items()):
        update.set_entries(torch.randperm(update.weight.numel(), generator=generator)[: number % 5])
        of_three = [[2, 0], [1], []][number // 4 % 3]
        update.set_updates(of_three if update.n_parts == 3 else [0] * (number % 2))
        change = torch.zeros_like(update.weight)
        for parameter in [*update.parameters(recurse=False)]:
            parameter.data.normal_(generator=generator)
        if update.values is not None:
            for place, value in zip(update.index, update.values, strict=True):
                row, column = divmod(int(place), change.shape[1])
                change = change.index_put((torch.tensor(row), torch.tensor(column)), value)
        parts = [*change.chunk(update.n_parts)]
        for place, part in enumerate(update.structured.tolist()):
            parts[part] = parts[part] + update.lora_b[place] @ update.lora_a[place]
        theirs = pair.name_in_timm(f"{name}.").rstrip(".")
        pair.put(f"{theirs}.weight", update.weight.detach() + torch.cat(parts))
    assert {len(update.structured) for update in found.values()} == {0, 1, 2}
    pair.assert_equal(pair.run(lambda _, block, x: block(x)))


@pytest.mark.parametrize("in_second", [False, True])
def test_each_layer_gets_its_own_share_of_the_choice(in_second):
    """Three matrices of 2 x 4 in the first layer and one in the second; an update costs 6."""
    layers = [SensitiveLinear(nn.Linear(4, 6), 3, 1), SensitiveLinear(nn.Linear(4, 2), 1, 1)]
    method = methods.build("spt", {"alpha": 2, "rank": 1})
    selection = SensitivitySelection(layers, method, 9)
    first, second = (total.flatten() for total in selection.start().totals)
    if in_second:
        second += 10.0
        first[[0, 8, 23]] = torch.tensor([3.0, 2.0, 1.0])
    else:
        first[8:16] = 10.0  # all of the second matrix
        first[0] = 3.0
        second[[0, 7]] = torch.tensor([2.0, 1.0])
    seen = selection.start()
    seen.totals = [first.reshape(6, 4), second.reshape(2, 4)]
    selection.choose(seen)
    updates = [layer.structured.tolist() for layer in layers]
    entries = [[] if layer.index is None else layer.index.tolist() for layer in layers]
    assert updates == ([[], [0]] if in_second else [[1], []])
    assert entries == ([[0, 8, 23], []] if in_second else [[0], [0, 7]])


def test_the_budget_is_used_up_and_large_shares_become_updates():
    # sensitivities of three matrices of 20, 20 and 40 weights, whose updates cost 8 each
    first = torch.zeros(20)
    first[:3] = torch.tensor([9.0, 8.0, 7.0])
    second = torch.linspace(0.1, 2.0, 20)
    third = torch.zeros(40)
    third[39] = 5.0
    structured, entries = allocate([first, second, third], [8, 8, 8], budget=13, alpha=4)
    # two of eight over four make an update: the first and the second matrix would cost 16
    assert structured == [0]
    assert entries.tolist() == [36, 37, 38, 39, 79]


@pytest.mark.parametrize(("budget", "sizes"), [(7, [10, 3, 20]), (1, [5, 5]), (10, [5, 5])])
def test_places_are_spread_over_all_weights(budget, sizes):
    places = spread(budget, sizes)
    assert sum(map(len, places)) == budget
    for place, size in zip(places, sizes, strict=True):
        assert len(set(place.tolist())) == len(place)
        assert all(0 <= each < size for each in place.tolist())


def test_spt_takes_the_most_sensitive_weights_within_the_budget():
    method = methods.build("spt", {"share": 0.003, "alpha": 100, "n_batches": 2, "rank": 2})
    subject = Subject(method, "tiny_vit")
    squares = gradients_of_batches(subject, 2, squared=True)
    model = select_on(subject)
    updates = {name: each for name, each in updates_of(model).items()}
    assert all(isinstance(each, SensitiveLinear) for each in updates.values())
    n_updates = sum(len(each.structured) for each in updates.values())
    assert 0 < n_updates < 36
    trained = sum(p.numel() for p in model.tuned_parameters().values())
    assert trained == method.expected_tuned(subject.build_plain().backbone) == 3_625
    least, most = [], []  # of matrices without an update
    for name, update in updates.items():
        chosen = torch.zeros(update.weight.numel(), dtype=torch.bool)
        chosen[update.index if update.index is not None else []] = True
        masks = chosen.chunk(update.n_parts)
        own = squares[f"{name}.weight"].flatten().chunk(update.n_parts)
        parts = zip(masks, own, strict=True)
        for number, (mask, square) in enumerate(parts):
            if number in update.structured.tolist():
                assert not mask.any()
                continue
            least += [square[mask].min()] if mask.any() else []
            most.append(square[~mask].max())
    assert min(least) >= max(most)


@pytest.mark.parametrize("name", ["gps", "spt[share=0.02,alpha=100]"])
def test_a_delta_gives_the_choice_back(name, volume):
    label, _, inner = name.partition("[")
    settings = dict(each.split("=") for each in inner.rstrip("]").split(",") if each)
    subject = Subject(methods.build(label, settings), "tiny_vit")
    model = subject.build_tuned()
    train(model, volume, 2)
    fresh = subject.build_plain()
    apply_method(fresh, subject.method, seed=0)  # without a look at data
    state = torch.get_rng_state()
    load_delta(fresh, delta_state(model))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(fresh.eval()(volume), model.eval()(volume))


def test_a_row_with_too_few_entries_is_refused(plain):
    with pytest.raises(ValueError, match="gps: per_neuron must be <= 128, the inputs of"):
        methods.build("gps", {"per_neuron": 129}).inject(plain("tiny_vit").backbone)


def test_a_selection_moves_nothing_and_leaves_no_gradient():
    subject = Subject(methods.build("gps", {"n_batches": 1}), "tiny_vit")
    model = subject.build_plain()
    before = {id(p): p.detach().clone() for p in model.parameters()}
    apply_method(model, subject.method, seed=0)
    run_selection(model.train(), iter_losses(model, subject.make_volume()))
    own = [p for p in model.parameters() if id(p) in before]
    assert len(own) == len(before)
    assert all(torch.equal(p, before[id(p)]) for p in own)
    assert all(p.grad is None for p in model.parameters())
    linears = [m for m in model.backbone.modules() if isinstance(m, nn.Linear)]
    assert not any(m.weight.requires_grad for m in linears)
