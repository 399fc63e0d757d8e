"""Batches of windows give the logits of single ones, within the memory that there is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import prod

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import methods
from bench.models import compiled
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from bench.run.inference import predictor as predicting
from bench.run.inference.predictor import Predictor
from bench.run.inference.room import Room, count_sum_bytes, find_room, list_sizes
from bench.run.inference.windows import Tiling
from bench.specs.protocol import EvalSpec

PATCH = (4, 32, 32)
SIZE = (9, 40, 35)
CPU = torch.device("cpu")


def make_predictor(network: nn.Module, spec: EvalSpec) -> Predictor:
    return Predictor(network, PATCH, spec, Fabric(accelerator="cpu", devices=1))


def make_network(method: str) -> nn.Module:
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method), seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.tuned_parameters().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


TOO_MUCH = torch.OutOfMemoryError("tried to allocate too much")


class Counting(nn.Module):
    """Counts the windows of each forward pass; more than ``most`` are too many for its memory."""

    def __init__(self, most: int = 1000, error: Exception = TOO_MUCH) -> None:
        super().__init__()
        self.most = most
        self.error = error
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error
        return torch.stack([x[:, 0], -x[:, 0], x[:, 1]], dim=1)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "find_room", lambda device: Room(device, 2**40))
    monkeypatch.setattr("bench.run.inference.room.SLICES_AT_ONCE", 5 * PATCH[0])


@pytest.mark.parametrize("method", ["linear", "lora", "med_adapter", "vpt_deep"])
@pytest.mark.parametrize("flips", [False, True])
def test_windows_in_batches_give_the_logits_of_single_windows(method, flips, request):
    network = make_network(method)
    image = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    spec = EvalSpec(overlap=0.5, flips=flips)
    alone = make_predictor(network, spec).compute_logits(image)
    request.getfixturevalue("roomy")
    together = make_predictor(network, spec)
    np.testing.assert_allclose(together.compute_logits(image), alone, rtol=1e-5, atol=1e-5)
    assert together.at_once == 5
    assert (together(image) == alone.argmax(dim=0).numpy()).mean() > 0.999


def test_windows_of_mirrored_volumes_share_a_pass(roomy):
    network = Counting()
    predictor = make_predictor(network, EvalSpec(flips=True))
    image = np.zeros((2, *SIZE), dtype=np.float32)
    predictor(image)
    n_windows = predictor.count_windows(image)
    assert n_windows == 8 * len(Tiling(SIZE, PATCH, EvalSpec()).places)
    assert network.sizes == [1, *[5] * ((n_windows - 1) // 5)]  # the first tells what one takes
    network.sizes.clear()
    predictor(image)
    assert network.sizes == [*[5] * (n_windows // 5), n_windows % 5]


def test_a_cpu_gets_one_window_at_a_time():
    network = Counting()
    make_predictor(network, EvalSpec())(np.zeros((2, *SIZE), dtype=np.float32))
    assert set(network.sizes) == {1}


@pytest.mark.parametrize(
    "error", [TOO_MUCH, RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]
)
def test_too_many_windows_for_the_memory_are_halved_and_said_once(error, roomy, caplog):
    caplog.set_level(logging.INFO)
    image = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    network = Counting(2, error)
    predictor = make_predictor(network, EvalSpec())
    expected = make_predictor(Counting(), EvalSpec())(image)
    np.testing.assert_array_equal(predictor(image), expected)
    assert max(network.sizes) == 5
    network.sizes.clear()
    np.testing.assert_array_equal(predictor(image), expected)
    assert max(network.sizes) == 2  # what was too much is not tried again
    assert caplog.text.count("memory was short") == 1
    assert predictor.at_once == 2
    with pytest.raises(torch.OutOfMemoryError):
        make_predictor(Counting(most=0), EvalSpec())(image)


def test_the_place_of_the_sums_is_said_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    card = torch.device("cuda", 0)
    rooms = [Room(card, 2**20), Room(card, 2**20)]
    monkeypatch.setattr(predicting, "find_room", lambda device: rooms.pop())
    monkeypatch.setattr(predicting, "peak_bytes", lambda device: 2**10)
    monkeypatch.setattr(predicting, "allocated_bytes", lambda device: 0)
    predictor = make_predictor(Counting(), EvalSpec())
    image = np.zeros((2, *SIZE), dtype=np.float32)
    predictor(image)
    predictor(image)
    assert caplog.text.count("inference: sums in host memory") == 1
    assert "MiB are free" in caplog.text


@pytest.mark.parametrize(
    ("free", "n_windows"), [(None, 1), (0, 1), (2 * 10**6, 10), (10**12, 512 // 16)]
)
def test_windows_are_counted_by_free_memory_and_slices(free, n_windows):
    assert Room(CPU, free).count_windows(16, 10**5) == n_windows


def test_sums_are_on_the_device_if_they_take_half_of_what_is_free_at_most():
    card = torch.device("cuda", 0)
    assert Room(card, 1000).choose_home(500) == card
    assert Room(card, 1000).choose_home(501) == CPU
    assert Room(card, None).choose_home(1) == CPU
    assert find_room(CPU) == Room(CPU, None)


def test_the_bytes_of_a_volume_hold_its_tensors():
    sums = [3, 3, 3, 1, 2]  # of a copy, turned back, of all copies; weights; 64-bit classes
    expected = 4 * prod(SIZE) * (2 * 2 + sum(sums))
    assert count_sum_bytes(2, 3, SIZE) == expected


@pytest.mark.parametrize("flips", [False, True])
def test_a_part_is_a_forward_pass(flips, roomy):
    network = Counting()
    predictor = make_predictor(network, EvalSpec(flips=flips, overlap=0.5))
    image = np.zeros((2, *SIZE), dtype=np.float32)
    predictor(image)
    network.sizes.clear()
    part = predictor.part_of(image)
    part.function()
    assert network.sizes == [5]
    assert part.scale == predictor.count_windows(image) / 5


def test_a_part_takes_its_share_of_a_volume():
    sizes = {"in_channels": 2, "n_classes": 3, "patch": (8, 64, 64)}
    network = build_segmenter(Blueprint("tiny_vit"), **sizes, seed=0)
    spec = EvalSpec(overlap=0.5)
    predictor = Predictor(network, (8, 64, 64), spec, Fabric(accelerator="cpu", devices=1))
    image = np.zeros((2, 16, 96, 80), dtype=np.float32)
    part = predictor.part_of(image)
    assert part.scale == 3 * 2 * 2 == predictor.count_windows(image)  # a part has one window
    whole_s, part_s = [], []
    for _ in range(3):
        whole_s.append(time_of(lambda: predictor(image)))
        part_s += [time_of(part.function) for _ in range(4)]
    assert 0.8 < part.scale * min(part_s) / min(whole_s) < 1.25


def time_of(function: Callable[[], object]) -> float:
    """Return the processor's seconds, which other work of the machine changes less."""
    started = time.process_time()
    function()
    return time.process_time() - started


class FakeCard:
    """Stands for torch's counters of a GPU's memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peak = 0
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: self.take(0))

    def take(self, n_bytes: int) -> None:
        self.peak = n_bytes


def test_what_inference_takes_is_not_in_the_peak_of_a_gpu(monkeypatch):
    from bench.cost import memory

    monkeypatch.setattr(memory, "_earlier_peaks", {})
    card, device = FakeCard(monkeypatch), torch.device("cuda", 0)
    card.take(3 * memory.MIB)
    with memory.peak_left_out(device), memory.peak_left_out(device):
        assert memory.peak_bytes(device) == 0
        card.take(9 * memory.MIB)
    assert memory.peak_memory_mib(device) == 3
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert memory.peak_memory_mib(torch.device("cuda")) == 3  # the same one
    card.take(5 * memory.MIB)
    assert memory.peak_memory_mib(device) == 5


@pytest.mark.parametrize(
    ("n_windows", "sizes"), [(1, [1]), (2, [2]), (7, [4, 2, 1]), (16, [16]), (21, [16, 4, 1])]
)
def test_sizes_of_batches_are_powers_of_two(n_windows: int, sizes: list[int]) -> None:
    assert list_sizes(n_windows) == sizes


@pytest.mark.usefixtures("roomy")
def test_a_compiled_network_meets_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "OPTIONS", None)
    network = Counting()
    predict = make_predictor(network, EvalSpec(overlap=0.5, flips=True))
    image = np.random.default_rng(0).normal(size=(2, *SIZE)).astype(np.float32)
    expected = predict.compute_logits(image)
    n_windows = predict.count_windows(image)
    assert set(network.sizes) == {1, 5, (n_windows - 1) % 5} - {0}

    network.sizes.clear()
    compiled.compile_network(network)
    predict = make_predictor(network, EvalSpec(overlap=0.5, flips=True))
    found = predict.compute_logits(image)
    torch.testing.assert_close(found, expected)
    assert sum(network.sizes) == n_windows
    assert max(network.sizes) == predict.at_once == 4
    assert set(network.sizes) <= {1, 2, 4}
