"""Bytes of a training step against closed forms, and what is recognised as too little memory."""

from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import methods
from bench.cost.memory import (
    count_bytes,
    count_saved_bytes,
    describe_out_of_memory,
    is_out_of_memory,
    measure_memory,
)
from bench.models.backbones.info import Blueprint
from bench.models.build import build_segmenter
from bench.models.segmenter import apply_method
from bench.run.training.step import build_step
from bench.specs.protocol import TrainSpec
from methods.executed import set_execution
from methods.execution import Execution

PATCH = (2, 32, 32)
FLOAT = 4  # bytes


def make_batch():
    return {"image": torch.randn(1, 2, *PATCH), "label": torch.randint(3, (1, *PATCH))}


def measure(method, optimizer="adamw", execution=None, **settings):
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build(method, settings), seed=0)
    set_execution(model, execution or Execution())
    model.train()
    step, batch = (
        build_step(model, TrainSpec(optimizer=optimizer), Fabric(accelerator="cpu", devices=1)),
        make_batch(),
    )
    step.update(step.loss(batch))
    return measure_memory(model, step, batch), model


def test_what_a_small_network_keeps_is_what_its_gradients_need():
    first, second = nn.Linear(8, 16), nn.Linear(16, 4)
    x = torch.randn(5, 8)
    model = nn.Sequential(first, nn.ReLU(), second)
    # the input for the first weight; what leaves the ReLU, which serves the second weight and the
    # ReLU's own gradient
    assert count_saved_bytes(model, lambda: model(x).sum()) == (5 * 8 + 5 * 16) * FLOAT
    first.requires_grad_(False)
    assert count_saved_bytes(model, lambda: model(x).sum()) == 5 * 16 * FLOAT
    second.weight.requires_grad_(False)
    assert count_saved_bytes(model, lambda: model(x).sum()) == 0


def test_views_of_one_storage_count_once():
    x = torch.zeros(6, 4)
    assert (
        count_bytes([x, x[2:], x.T, torch.zeros(3, dtype=torch.float64)]) == 6 * 4 * FLOAT + 3 * 8
    )
    assert count_bytes([]) == 0


def test_weights_gradients_and_optimiser_have_their_closed_forms():
    memory, model = measure("lora", rank=4)
    total = sum(parameter.numel() for parameter in model.parameters())
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    n_tensors = sum(1 for parameter in model.parameters() if parameter.requires_grad)
    assert memory.weights_mib * 2**20 == total * FLOAT + buffers
    assert memory.gradients_mib * 2**20 == trained * FLOAT
    assert (
        memory.optimizer_mib * 2**20 == (2 * trained + n_tensors) * FLOAT
    )  # two moments, and a counter a tensor
    amsgrad, _ = measure("lora", optimizer="adam", rank=4)
    assert amsgrad.optimizer_mib * 2**20 == (3 * trained + n_tensors) * FLOAT
    assert (memory.peak_mib, memory.reserved_mib) == (
        None,
        None,
    )  # a CPU has no allocator that tells


def test_linear_keeps_less_than_adaptformer_and_that_less_than_full():
    linear, adaptformer, full = (measure(name)[0] for name in ("linear", "adaptformer", "full"))
    assert (
        0
        < linear.saved_for_backward_mib
        < adaptformer.saved_for_backward_mib
        < full.saved_for_backward_mib
    )
    assert linear.gradients_mib < adaptformer.gradients_mib < full.gradients_mib


def test_the_last_half_keeps_less_than_all():
    assert (
        measure("lora", blocks="last_half")[0].saved_for_backward_mib
        < 0.8 * measure("lora")[0].saved_for_backward_mib
    )


def test_checkpointing_keeps_less_in_a_step():
    saving, _ = measure("lora", execution=Execution(checkpointing=True))
    assert saving.saved_for_backward_mib < 0.8 * measure("lora")[0].saved_for_backward_mib


def test_the_errors_of_torch_are_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)  # no machine has an exbibyte
    assert is_out_of_memory(raised.value)
    described = describe_out_of_memory(raised.value, "cpu")
    assert described.startswith(
        f"out of memory on cpu when {2**60} bytes more were asked for (try --checkpointing"
    )
    assert is_out_of_memory(MemoryError())
    assert describe_out_of_memory(MemoryError(), "cpu").startswith("out of memory on cpu (try")
    on_gpu = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ..."
    )
    assert is_out_of_memory(on_gpu)
    assert "cuda:0 when 20.00 GiB more were asked for" in describe_out_of_memory(on_gpu, "cuda:0")
    for text in (
        "CUDA error: out of memory",  # of a kernel, not of torch's allocator
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert is_out_of_memory(RuntimeError(text))


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(raised.value)
    assert not is_out_of_memory(ValueError("memory"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tells_its_peak():
    model = build_segmenter(Blueprint("tiny_vit"), in_channels=2, n_classes=3, patch=PATCH, seed=0)
    apply_method(model, methods.build("lora"), seed=0)
    step = build_step(model.train(), TrainSpec(), Fabric(accelerator="cuda", devices=1))
    batch = {name: tensor.cuda() for name, tensor in make_batch().items()}
    step.update(step.loss(batch))
    memory = measure_memory(model, step, batch)
    assert memory.peak_mib is not None
    assert memory.reserved_mib is not None
    assert (
        memory.weights_mib + memory.saved_for_backward_mib < memory.peak_mib <= memory.reserved_mib
    )
