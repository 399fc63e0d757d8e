"""Two processes that share each batch train what one trains with the whole batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.grid.children import Child, start_child
from bench.run.ranks.group import open_store
from bench.specs.protocol import override
from bench.specs.run import MethodSpec, Place, RunSpec, Team
from tests.bench.run.ranks import processes
from tests.bench.run.ranks.processes import Trained

TRAIN_ALL = f"{processes.__name__}:{processes.train_all.__name__}"
DICE = "train.loss=dice"  # over the whole batch
ACCUMULATED = "train.accumulate=2"
UPERNET = "model.decoder=upernet"  # has batch norms, and dropout
# a method with its settings, and fields of the protocol
CASES = {
    "linear": ("linear", {}, ()),
    "dice": ("linear", {}, (DICE, ACCUMULATED)),
    "batch norms": ("med_adapter", {}, (UPERNET,)),
    "dropout": ("convpass", {"dropout": "0.3"}, ()),
    "drop path": ("pfeiffer", {}, ("model.backbone_mode=train", "train.drop_path=0.2")),
    "noise, and a loss of its own": ("conv_lora", {"dropout": "0.1"}, ()),
    "a step after each step": ("arena", {}, ()),
    "chosen by gradients": ("gps", {"n_batches": "2"}, ()),
    "chosen by squared gradients": ("spt", {"share": "0.05", "n_batches": "2"}, ()),
    "scores of its own": ("peft:adalora", {}, ()),
    "all of it": ("full", {}, (DICE,)),
}

# A bias before a batch norm has no gradient but rounding errors, which Adam makes steps of.
BEFORE_NORM = ("batch norms",)


@pytest.fixture
def specs(make_run) -> list[RunSpec]:
    found = []
    for name, settings, fields in CASES.values():
        spec = make_run(method=name)
        protocol = override(spec.protocol, "data.patches_per_epoch=4")
        for field in fields:
            protocol = override(protocol, field)
        method = MethodSpec(name, tuple(settings.items()))
        found.append(replace(spec, method=method, protocol=protocol))
    return found


def start(specs: list[RunSpec], place: Place) -> Child:
    return start_child(TRAIN_ALL, specs, place, name="trains")


@pytest.mark.slow
def test_two_processes_train_what_one_trains(specs, prepared, tmp_path):
    place = Place(tmp_path, prepared, "cpu")
    (whole,) = train([place], specs)
    store = open_store(2)
    places = [replace(place, team=Team(rank, 2, store.port)) for rank in range(2)]
    first, second = train(places, specs)
    for name, alone, one, other in zip(CASES, whole, first, second, strict=True):
        assert one.losses == pytest.approx(alone.losses, abs=1e-5), name
        assert one.val_dices == pytest.approx(alone.val_dices, abs=1e-3), name
        for key, expected in alone.weights.items() if name not in BEFORE_NORM else ():
            is_far = ~np.isclose(one.weights[key], expected, atol=1e-4)
            # Adam enlarges the smallest gradients, and their rounding
            assert np.count_nonzero(is_far) <= 0.01 * is_far.size, (name, key)
        # so that one checkpoint is enough for all
        assert (one.sha256, one.random) == (other.sha256, other.random), name
        assert one.random == alone.random, name


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_in_one_process_ends_the_training_in_all(
    make_run, prepared, tmp_path
):
    function = f"{processes.__name__}:{processes.train_with_a_bad_gradient.__name__}"
    place, store = Place(tmp_path, prepared, "cpu"), open_store(2)
    children = []
    for rank in range(2):
        own = replace(place, team=Team(rank, 2, store.port))
        children.append(start_child(function, make_run(method="linear"), own, name="diverges"))
    (first,), (second,) = [child.messages.recv() for child in children]
    assert first == second
    assert first.startswith("training: the gradient is not finite: ")
    assert "decoder.head.bias in epoch 0" in first


def train(places: list[Place], specs: list[RunSpec]) -> list[list[Trained]]:
    """Return what each of some processes has trained."""
    children = [start(specs, place) for place in places]
    found: list[list[Trained]] = [[] for _ in children]
    for _ in specs:
        for child, trained in zip(children, found, strict=True):
            trained += child.messages.recv()
    return found
