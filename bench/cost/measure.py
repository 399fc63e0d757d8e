"""What a run needs: parameters, multiply-accumulates, memory, time. One protocol for all methods.

Everything is measured after scoring, on the trained network itself, which is then restored bit for
bit. So measuring changes no result, and a GPU's peak does not contain a copy.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from bench.cost.flops import count_compute
from bench.cost.memory import MeasuredStep, measure_memory
from bench.cost.timing import Part, Repeats, time_part, time_repeats
from bench.models.compiled import uncompiled
from bench.models.decoders.mode import count_plain
from bench.models.segmenter import Segmenter
from methods import surgery
from reports.records.cost import Compute, Memory, Merged, Timing

SHARE_OF_RUN = 0.1  # for measuring
N_TIMED = 4
PLAIN = Repeats()


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a segmenter."""

    total: int
    backbone: int  # injected modules included
    tuned: int  # of the backbone, trained by the method
    decoder: int  # trained
    decoder_plain: int  # trained or frozen, without what adapts it
    other: int  # of the backbone, trained by the protocol beside every method


@dataclass(frozen=True)
class Measured:
    """What `measure` finds; the names are those of `reports.records.run.Cost`."""

    compute: Compute
    memory: Memory
    train_step: Timing
    inference: Timing
    merged: Merged | None


def count_parameters(model: Segmenter) -> ParameterCount:
    """Return the exact counts; a parameter trains if it requires a gradient."""
    backbone = count_elements(model.backbone.parameters())
    decoder = count_elements(model.decoder.parameters())
    trained = count_elements(each for each in model.decoder.parameters() if each.requires_grad)
    other = count_elements(model.also_trained)
    tuned = count_elements(model.tuned_parameters().values()) - other
    plain = count_plain(model.decoder)
    return ParameterCount(backbone + decoder, backbone, tuned, trained, plain, other)


def count_elements(parameters: Iterable[nn.Parameter]) -> int:
    """Return the sum of the parameters' sizes."""
    return sum(parameter.numel() for parameter in parameters)


def measure(
    model: Segmenter,
    build_step: Callable[[], MeasuredStep],
    batch: dict[str, torch.Tensor],
    inference: Part,
    repeats: Repeats = PLAIN,
) -> Measured:
    """Measure a trained network on its device; restore weights, buffers, modes and random state.

    Args:
        model: has just been trained and has segmented volumes.
        build_step: returns the protocol's training step with a fresh optimiser.
        batch: training patches.
        inference: a part of the segmentation of a volume, with the current weights.
        repeats: of each of the timed calls.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    first = {name: tensor[:1] for name, tensor in batch.items()}
    with preserved(model, device):
        timing = time_part(inference, device, repeats)
        merged = _measure_merged(model, batch["image"], inference, repeats)
        step = build_step()
        model.train()

        def train_on_first(_: torch.Tensor) -> None:
            if first["image"].shape[2] == 1:  # one slice has one value for a batch norm
                _rest_batch_norms(model)
            step.backward(step.loss(first))

        with uncompiled(model):  # operations are counted by their names
            compute = count_compute(model, first["image"], train_on_first)
        model.train()
        train_step = time_repeats(lambda: step.repeat(batch), device, repeats, is_warm=True)
        memory = measure_memory(model, step, batch)
    return Measured(compute, memory, train_step, timing, merged)


@contextmanager
def preserved(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore at the end what a training step changes; remove gradients before and after."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    changing = [*trained, *model.buffers()]
    before = [tensor.detach().to("cpu", copy=True) for tensor in changing]
    modes = {module: module.training for module in model.modules()}
    model.zero_grad()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        model.zero_grad()
        with torch.no_grad():
            for tensor, value in zip(changing, before, strict=True):
                tensor.copy_(value)
        for module, training in modes.items():
            module.training = training


def _rest_batch_norms(model: nn.Module) -> None:
    """Let batch norms use their statistics; they have no multiply-accumulates either way."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def limit_repeats(run_s: float) -> Repeats:
    """Return repeats that take about a tenth of a run of so many seconds, if the calls are short.

    Inference, merged inference and training step are timed, and a step is counted and measured.
    """
    return Repeats(budget_s=min(Repeats.budget_s, SHARE_OF_RUN * run_s / N_TIMED))


def _measure_merged(
    model: Segmenter, image: torch.Tensor, inference: Part, repeats: Repeats
) -> Merged | None:
    """Time inference with the method merged, compare a batch's logits; None if nothing merges."""
    if not any(isinstance(module, surgery.Mergeable) for module in model.backbone.modules()):
        return None

    @torch.inference_mode()
    def compute_logits() -> torch.Tensor:
        return model.eval()(image).float()

    with uncompiled(model):
        unmerged = compute_logits()
    surgery.merge(model.backbone)
    try:
        with uncompiled(model):
            difference = float((compute_logits() - unmerged).abs().max())
        timing = time_part(inference, image.device, repeats)
        return Merged(timing, difference)
    finally:
        surgery.unmerge(model.backbone)
