"""The peak of a step without its memory: by hand, and against what torch's allocator hands out."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import methods
from bench.cost.peak import find_peak_bytes
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method

MIB = 2**20


def test_what_is_alive_at_once_counts_and_what_has_gone_does_not():
    def compute():
        first = torch.empty(MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        third = torch.empty(MIB, dtype=torch.uint8)
        return second, third

    held = torch.empty(MIB, dtype=torch.uint8)
    assert find_peak_bytes([held], compute) == 4 * MIB


def test_views_and_changes_in_place_need_nothing():
    tensor = torch.zeros(MIB, dtype=torch.uint8)
    assert find_peak_bytes([tensor], lambda: tensor.view(2, -1)[0].add_(1)) == MIB


def test_blocks_have_512_bytes():
    assert find_peak_bytes([], lambda: torch.zeros(1)) == 512


def build(device):
    with torch.device(device):
        model = build_segmenter(
            Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=(8, 64, 64), seed=0
        )
        apply_method(model, methods.build("lora"), seed=0)
        return model.train(), torch.zeros(2, 2, 8, 64, 64)


def step(model, image):
    model.zero_grad()
    nn.functional.softmax(model(image).float(), dim=1).square().mean().backward()


def test_a_step_on_the_meta_device_peaks_as_on_the_cpu():
    model, image = build("cpu")
    step(model, image)  # what is made once is there
    before = sum(each.untyped_storage().nbytes() for each in [*model.parameters(), image])
    before += sum(each.grad.nbytes for each in model.parameters() if each.grad is not None)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step(model, image)
    held, peak = 0, 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    meta, meta_image = build("meta")
    found = find_peak_bytes([*meta.parameters(), meta_image], lambda: step(meta, meta_image))
    assert found == pytest.approx(before + peak, rel=0.1)
