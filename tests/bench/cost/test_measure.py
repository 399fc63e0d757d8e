"""Measuring changes nothing, compares merged inference, and too little memory ends as `oom`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import datasets
import methods
from bench.cost import measure as measuring
from bench.cost.timing import Part
from bench.grid.runner import FINISHED
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from bench.run import execute, setup
from bench.run.training.step import build_step, silence
from bench.specs.presets import PRESETS
from bench.specs.protocol import DataSpec, TrainSpec
from bench.specs.run import MethodSpec, Place, RunSpec
from datasets.phantoms.write import write_phantoms
from methods import surgery
from methods.base import Method, MethodInfo
from methods.low_rank.lora import LowRankUpdate
from methods.sites import Role
from reports.records.cost import Compute
from reports.records.run import Status, read_result

PATCH = (4, 32, 32)


def build(method):
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method), seed=0)
    with torch.no_grad():
        for name, parameter in model.tuned_parameters().items():
            if "lora_b" in name:
                parameter.normal_()
    return model.eval()


def measure(model, n_volumes=2, *, ignored=False, **options):
    spec = TrainSpec(**options)
    batch = {
        "image": torch.randn(n_volumes, 2, *PATCH),
        "label": torch.randint(3, (n_volumes, *PATCH)),
    }
    if ignored:
        batch["ignored"] = torch.zeros(n_volumes, *PATCH, dtype=torch.bool)
    fabric = Fabric(accelerator="cpu", devices=1, precision=spec.precision)
    volume = torch.randn(1, 2, *PATCH)

    def predict():
        with torch.inference_mode():
            return model.eval()(volume)

    return measuring.measure(model, lambda: build_step(model, spec, fabric), batch, Part(predict))


@pytest.mark.parametrize("method", ["full", "linear", "lora", "vpt_deep", "med_adapter"])
def test_the_network_and_the_random_state_are_as_before(method):
    model = build(method)
    before = {
        name: tensor.clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    modes = [module.training for module in model.modules()]
    trained = [parameter.requires_grad for parameter in model.parameters()]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    measure_without_drawing(model)
    assert torch.equal(torch.rand(3), expected)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == trained
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_is_measured_with_the_voxels_that_it_ignores(monkeypatch):
    seen = []

    def record(logits, ignored):
        seen.append(len(ignored))
        return silence(logits, ignored)

    monkeypatch.setattr("bench.run.training.step.silence", record)
    measure(build("linear"), ignored=True)
    assert seen.count(1) == 1  # the patch whose operations are counted
    assert seen.count(2) >= 2  # the batches that are timed, and whose memory is measured


def measure_without_drawing(model):
    """Draw the test's own batch from a stream of its own."""
    with torch.random.fork_rng(devices=[]):
        inputs = torch.randn(2, 2, *PATCH), torch.randint(3, (2, *PATCH))
    fabric = Fabric(accelerator="cpu", devices=1)
    batch = dict(zip(("image", "label"), inputs, strict=True))
    return measuring.measure(
        model,
        lambda: build_step(model, TrainSpec(), fabric),
        batch,
        Part(lambda: model.eval()(inputs[0])),
    )


def test_everything_is_measured():
    found = measure(build("linear"))
    assert 0 < found.compute.forward_gflop < found.compute.training_gflop
    assert found.compute.uncounted == ()
    assert found.memory.saved_for_backward_mib > 0
    assert found.memory.gradients_mib > 0
    for timing in (found.train_step, found.inference):
        assert timing.n >= 3
        assert timing.median_s > 0
        assert timing.iqr_s >= 0
    assert found.merged is None


def test_mixed_precision_is_measured_as_it_trains():
    exact, mixed = (
        measure(build("lora"), 8),
        measure(build("lora"), 8, precision="bf16-mixed"),
    )  # more than the weights
    assert mixed.compute == exact.compute
    assert mixed.memory.weights_mib == exact.memory.weights_mib
    assert mixed.memory.saved_for_backward_mib < exact.memory.saved_for_backward_mib


def test_a_method_that_merges_is_timed_merged_and_compared():
    merged = measure(build("lora")).merged
    assert merged is not None
    assert merged.inference.n >= 3
    assert 0 < merged.max_abs_diff < 1e-3  # logits of order one after a dozen products in float32


def test_a_wrong_merge_shows(monkeypatch):
    def merge_twice(self):
        fold(self)
        self.weight.data += self.weight - self.unmerged["weight"]

    fold = LowRankUpdate.merge
    monkeypatch.setattr(LowRankUpdate, "merge", merge_twice)
    merged = measure(build("lora")).merged
    assert merged is not None
    assert merged.max_abs_diff > 0.1


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> RunSpec:
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms("brats", root, 10, shape=(16, 32, 32))
    protocol = replace(
        PRESETS["demo"].protocol,
        data=DataSpec(patch=(4, 32, 32), patches_per_epoch=2, n_folds=5),
        train=TrainSpec(epochs=1, batch=1),
    )
    return RunSpec(
        MethodSpec("lora"), "brats", "x", 0, 0, protocol, datasets.build("brats", root).root
    )


def run(spec, folder):
    return execute.execute_run(
        spec, Place(folder / "run", folder.parent / "cache", "cpu"), lambda *_: None
    )


def test_measuring_leaves_the_scores_alone(spec, tmp_path, monkeypatch):
    measured = run(spec, tmp_path / "measured")
    monkeypatch.setattr(measuring, "measure", lambda *_: Empty())
    plain = run(spec, tmp_path / "plain")
    assert (measured.status, measured.reason) == (plain.status, plain.reason) == (Status.DONE, "")
    assert repr(measured.cases) == repr(plain.cases)  # nan equals nan
    assert len(measured.cases) == 6
    assert measured.chosen_sha256 == plain.chosen_sha256
    assert measured.cost is not None
    assert measured.cost.compute is not None
    assert measured.cost.merged is not None
    assert 0 < measured.cost.data_wait_s < 60
    assert read_result(tmp_path / "measured" / "run").cost == measured.cost


class Empty:
    """What `measure` would return, without anything in it."""

    compute = Compute(0.0, 0.0)


@dataclass(frozen=True)
class Greedy(Method):
    """A method that asks for an exbibyte."""

    info: ClassVar[MethodInfo] = MethodInfo("greedy", "Greedy", "", "", (Role.MLP,), True, "")

    def inject(self, backbone):
        for site in self.find_sites(backbone, Role.MLP):
            surgery.wrap(site, Hoard)

    def expected_tuned(self, backbone):
        return 0


class Hoard(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) + torch.empty(2**60, dtype=torch.uint8, device=x.device)[0]


def test_too_little_memory_is_a_result(spec, tmp_path, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "greedy", f"{__name__}:Greedy")
    result = run(replace(spec, method=MethodSpec("greedy")), tmp_path)
    assert result.status is Status.OOM
    assert result.reason.startswith(
        f"out of memory on cpu when {2**60} bytes more were asked for (try --checkpointing"
    )
    assert "\n" not in result.reason
    assert "can't allocate memory" in result.traceback
    assert result.cases == ()
    assert read_result(tmp_path / "run").status is Status.OOM
    assert Status.OOM in FINISHED  # the same run would end the same way


def test_another_error_stays_a_failure(spec, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(setup, "fit", fail)
    result = run(spec, tmp_path)
    assert (result.status, result.reason) == (
        Status.FAILED,
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    )
