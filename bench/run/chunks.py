"""How many slices go through the backbone at once where activations are computed twice.

Small chunks keep a GPU idle, large ones need memory while a block is computed again. So a chunk is
as large as fits: a training step is counted without the device, with all slices in a chunk and with
half of them, and what is between is interpolated.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from lightning_fabric import Fabric

from bench.cost.inventory import NetworkShape, build_outline
from bench.cost.memory import MIB
from bench.cost.peak import find_peak_bytes
from bench.models.references.base import Reference
from bench.models.references.network import build_network
from bench.models.segmenter import Segmenter, apply_method
from bench.run.inference.room import find_room
from bench.run.network import describe_task
from bench.run.training.loss import build_loss
from bench.run.training.optimiser import build_optimizer
from bench.specs.run import Means, RunSpec
from datasets.base import DatasetInfo
from methods.base import Method
from methods.executed import set_execution
from methods.execution import Execution

LEAST = 16  # slices of a chunk: smaller ones save little, and take many times as long
MARGIN = 1.1  # workspaces of libraries; see docs/measuring.md
Shape = tuple[int, int, int]

log = logging.getLogger(__name__)


def choose_slices(n_slices: int, count: Callable[[int], float], free: int) -> int:
    """Return the slices of a chunk for a training step; 0: all at once.

    All chunks of a batch have nearly the same size, which is `LEAST` at least, even if the step
    does not fit then: counted in fp32, it may take less than that.

    Args:
        n_slices: of a batch.
        count: returns the bytes of a step with so many slices in a chunk.
        free: bytes of the device.
    """
    whole = count(n_slices)
    if whole <= free:
        return 0
    half = n_slices // 2
    per_slice = (whole - count(half)) / (n_slices - half) if half >= LEAST else 0.0
    most = n_slices - (whole - free) / per_slice if per_slice > 0 else 0.0
    largest = max(math.floor(most), min(LEAST, n_slices))
    return math.ceil(n_slices / math.ceil(n_slices / largest))


def choose_execution(spec: RunSpec, info: DatasetInfo, means: Means, fabric: Fabric) -> Execution:
    """Return the execution that was asked for, with chunks that fit if they are to be chosen.

    On a device whose free memory is not known, all slices go at once. So they do where chunks would
    change what a method computes, and where its memory cannot be counted without numbers.
    """
    asked = means.execution
    if asked.slices_per_chunk is not None:
        return asked
    whole = replace(asked, slices_per_chunk=0)
    free = find_room(fabric.device).free
    method = spec.method.build()
    if free is None or not isinstance(method, Method) or method.info.chunk_note:
        return whole
    patch = spec.protocol.data.patch
    batch = spec.own_protocol.train.batch // fabric.world_size
    n_slices = batch * patch[0]

    def count(size: int) -> float:
        chunked = replace(asked, slices_per_chunk=size)
        return MARGIN * estimate_step(spec, info, chunked, patch, batch)

    try:
        size = choose_slices(n_slices, count, free)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        cause = str(error).partition("\n")[0]
        log.info("checkpointing: all slices at once (memory was not counted: %s)", cause)
        return whole
    words = f"{size} of {n_slices} slices" if size else f"all {n_slices} slices"
    log.info("checkpointing: %s at once (%.0f MiB are free)", words, free / MIB)
    return replace(asked, slices_per_chunk=size)


def estimate_step(
    spec: RunSpec, info: DatasetInfo, execution: Execution, patch: Shape, batch: int
) -> int:
    """Return the bytes that a training step holds at its peak, in fp32.

    Raises: MissingRole if the backbone cannot host the method.
    """
    train = spec.own_protocol.train
    with torch.device("meta"):
        model = _build(spec, info, patch)
        image = torch.empty(batch, len(info.channels), *patch)
        label = torch.zeros(batch, *patch, dtype=torch.long)
    set_execution(model, execution)
    optimizer = build_optimizer(model.train(), train)
    for group in optimizer.param_groups:  # a fused step is in place, as a plain one is
        group["fused"] = group["foreach"] = False
    loss_function = build_loss(train.loss)

    def carry_out() -> None:
        for _ in range(2):  # the first allocates the optimiser's state
            optimizer.zero_grad()
            loss_function(model(image).float(), label[:, None]).backward()
            optimizer.step()

    return find_peak_bytes([*model.parameters(), *model.buffers(), image, label], carry_out)


def _build(spec: RunSpec, info: DatasetInfo, patch: Shape) -> Segmenter:
    protocol = spec.protocol
    method = spec.method.build()
    if isinstance(method, Reference):
        task = replace(describe_task(spec, info), patch=patch)
        return build_network(method, task, 0)
    assert isinstance(method, Method)
    model = protocol.model
    shape = NetworkShape(
        model.backbone,
        patch,
        len(info.channels),
        len(info.classes),
        decoder=model.decoder,
        prefix_tokens=model.prefix_tokens,
        decoder_mode=model.decoder_mode,
    )
    outline = build_outline(shape)
    apply_method(outline, method, 0, also_train=model.also_train, backbone_mode=model.backbone_mode)
    return outline
