"""The section of docs/methods.md on the memory of a training step."""

from typing import NamedTuple

import torch

import methods
from bench.cost.inventory import NetworkShape, build_outline
from bench.cost.memory import count_bytes, count_saved_bytes
from bench.models.segmenter import apply_method
from bench.run.training.loss import build_loss
from docs.articles import table, wrap
from methods.base import Method
from methods.executed import set_execution
from methods.execution import Execution

LISTED = ("full", "med_adapter", "adaptformer", "lora", "bitfit", "vpt_deep", "linear")
SAVING = Execution(checkpointing=True, slices_per_chunk=16)
MEMORY = """
What a training step on one patch of 4×128×128×128 voxels through ViT-B/16 holds in fp32, in GiB:
weights, gradients and AdamW's moments, and what is kept for the backward pass. *Saving* is
`--checkpointing --slices-per-chunk 16`, which changes no result. These are sums of tensors;
temporary results and the allocator's reserve come on top. The largest sum leaves a card with 24 GB
more than two thirds free. Measured on a GPU, the peak of a plain step was 6.20 GiB for `full` and
4.93 GiB for `med_adapter` (`benchmarks/README.md`); not all of it exists at one
time.
"""


class StepBytes(NamedTuple):
    """Bytes of a training step on one patch in fp32, with AdamW's two moments."""

    weights: int
    gradients: int
    optimizer: int
    saved: int  # by autograd, for the backward pass


def estimate_step(shape: NetworkShape, method: Method, execution: Execution) -> StepBytes:
    """Return what a step holds but temporary results; the network is on torch's meta device."""
    model = build_outline(shape)
    with torch.device("meta"):
        apply_method(model, method, seed=0, also_train=shape.also_train)
        image = torch.empty(1, shape.channels, *shape.patch)
        label = torch.empty(1, 1, *shape.patch, dtype=torch.int64)
    set_execution(model.train(), execution)
    loss_function = build_loss()
    trained = count_bytes(parameter for parameter in model.parameters() if parameter.requires_grad)
    weights = count_bytes([*model.parameters(), *model.buffers()])
    saved = count_saved_bytes(model, lambda: loss_function(model(image), label))
    return StepBytes(weights, gradients=trained, optimizer=2 * trained, saved=saved)


def estimate_listed(shape: NetworkShape, execution: Execution) -> dict[str, StepBytes]:
    """Return what a step of each listed method holds."""
    return {name: estimate_step(shape, methods.build(name), execution) for name in LISTED}


def memory_section(shape: NetworkShape) -> str:
    """Return the section on the memory of a training step as Markdown."""
    plain = estimate_listed(shape, Execution())
    saving = estimate_listed(shape, SAVING)
    rows = []
    for name, step in plain.items():
        fixed = sum(step) - step.saved
        sizes = (fixed, step.saved, sum(step), saving[name].saved, sum(saving[name]))
        share = f"{100 * sum(step) / sum(plain['full']):.0f}"
        rows.append((f"`{name}`", *(f"{size / 2**30:.2f}" for size in sizes), share))
    headings = ("Method", "Fixed", "Kept", "Sum", "Kept, saving", "Sum, saving", "Sum, % of `full`")
    return "\n\n".join(["## Memory", wrap(MEMORY), table(headings, rows)])
