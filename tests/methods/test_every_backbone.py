"""Every method in every registered backbone, without numbers: what trains, and how much."""

import copy
from dataclasses import replace

import pytest
import torch

import methods
from bench.models import registry
from bench.models.build import build_backbone
from methods.base import apply
from methods.blocks import choose_blocks
from methods.sites import Role, locate_parameters

DEPTH = 3


def outline(name):
    """Return a backbone on torch's meta device, for the smallest slices of two by two units."""
    size = 2 * registry.get(name).multiple_of
    with torch.device("meta"):
        backbone = build_backbone(name, 3, (size, size), "none")
    backbone.volume.depth = DEPTH
    return backbone


@pytest.mark.slow
@pytest.mark.parametrize("backbone", registry.names())
def test_what_trains_is_the_closed_form_in_all_blocks_and_in_the_last(backbone):
    plain = outline(backbone)
    ends = [site.last_in_stage for site in plain.sites if site.role is Role.BLOCK]
    for name in methods.names():
        for blocks in ("all", "last_2"):
            if name == "linear" and blocks != "all":
                continue
            method = replace(methods.build(name), blocks=blocks)
            model = copy.deepcopy(plain)
            expected = method.expected_tuned(model)
            with torch.device("meta"):
                apply(method, model)
            trained = [each for each in locate_parameters(model) if each[1].requires_grad]
            assert sum(each.numel() for _, each, _ in trained) == expected, (name, blocks)
            if blocks != "all":
                assert {index for *_, index in trained} <= choose_blocks(blocks, ends), name
