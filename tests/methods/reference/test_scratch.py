"""Training from scratch: the network of the others, with random weights."""

from dataclasses import replace

import torch

import methods
from bench.run.network import build_plain
from bench.specs.protocol import ModelSpec, Protocol
from bench.specs.run import MethodSpec, RunSpec
from datasets.brats import Brats


def weights_of(model):
    return {name: value for name, value in model.state_dict().items() if name[:5] == "backb"}


def test_its_weights_are_random_and_those_of_the_others_are_not(tmp_path):
    info = methods.get("scratch").info
    assert info.from_scratch
    assert info.tunes_backbone
    spec = RunSpec(
        MethodSpec("full"), "brats", "abc", 0, 0, Protocol(model=ModelSpec(weights="formula-vit")),
        tmp_path,
    )  # fmt: skip
    dataset = Brats.describe("brats2020")
    full = build_plain(spec, dataset)
    scratch = build_plain(replace(spec, method=MethodSpec("scratch")), dataset)
    none = replace(spec, protocol=Protocol(model=ModelSpec(weights="none")))
    random = build_plain(none, dataset)
    assert (full.weights_sha256 == "", scratch.weights_sha256) == (False, "")
    assert weights_of(full).keys() == weights_of(scratch).keys()
    for name, value in weights_of(scratch).items():
        assert torch.equal(value, weights_of(random)[name])
    kernel = "backbone.patch_embed.proj.weight"
    assert not torch.equal(weights_of(full)[kernel], weights_of(scratch)[kernel])
    decoders = [
        {name: value for name, value in model.state_dict().items() if name[:7] == "decoder"}
        for model in (full, scratch)
    ]
    assert all(torch.equal(decoders[0][name], decoders[1][name]) for name in decoders[0])
