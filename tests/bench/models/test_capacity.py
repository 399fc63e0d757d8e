"""Equal sizes of methods: the nearest capacity, against a search through all of them."""

from dataclasses import replace

import pytest

import methods
from bench.models.backbones.info import Blueprint
from bench.models.capacity import find_capacity, match_capacity, outline_backbone, read_amount
from bench.models.contract import Subject
from methods.settings import SpecError

PATCH = (3, 64, 64)


def outline(backbone="tiny_vit"):
    return outline_backbone(Blueprint(backbone), 3, PATCH)


@pytest.mark.parametrize("name", [n for n in methods.names() if find_capacity(methods.build(n))])
@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_swin"])
def test_no_other_capacity_is_nearer(name, backbone):
    method, amount = methods.build(name), 30_000
    network = outline(backbone)
    matched = match_capacity(method, amount, network)
    if matched.capacity == "share":
        assert matched.n_tuned == amount
        return
    assert matched.n_tuned == matched.method.expected_tuned(network)
    for value in range(1, 260):
        try:
            other = replace(method, **{matched.capacity: value}).expected_tuned(network)
        except ValueError:
            continue
        assert abs(matched.n_tuned - amount) <= abs(other - amount)


def test_what_has_no_capacity_stays_as_it_is():
    for name in ("full", "scratch", "linear", "bitfit", "norm", "ssf", "difffit", "partial"):
        method = methods.build(name)
        matched = match_capacity(method, 1000, outline())
        assert (matched.method, matched.capacity) == (method, None)


@pytest.mark.parametrize(
    ("name", "amount", "setting"),
    [
        ("lora", 1_000_000, {"rank": 128}),  # the width
        ("gps", 1_200_000, {"per_neuron": 128}),
        ("med_adapter", 1, {"ratio": 64}),  # half the width
        ("st_adapter", 1, {"ratio": 65}),  # from there on one hidden unit
        ("peft:gralora", 16_000, {"r": 6}),  # even, or its two blocks do not divide it
        ("peft:randlora", 30_000, {"r": 3}),
        ("peft:unilora", 30_000, {"r": 4}),  # its rank has no effect on its size
    ],
)
def test_the_nearest_is_one_that_the_method_takes_in_this_backbone(name, amount, setting):
    method = methods.build(name)
    matched = match_capacity(method, amount, outline())
    assert matched.method == replace(method, **setting)
    Subject(matched.method, "tiny_vit").build_tuned()


def test_more_than_the_whole_backbone_is_refused():
    sentence = r"--match-params: must be at most 1,\d+,\d+, the parameters of tiny_vit, got 2,000,"
    for name in ("lora", "full", "spt"):
        with pytest.raises(SpecError, match=sentence):
            match_capacity(methods.build(name), 2_000_000, outline())


def test_amounts_are_read():
    assert [read_amount(text) for text in ("0.3M", "300k", "300000")] == [300_000] * 3
    for text in ("", "0", "-1", "0.3G", "many"):
        with pytest.raises(SpecError, match=rf"--match-params: must be a number .*, got '{text}'"):
            read_amount(text)
