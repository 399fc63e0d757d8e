"""How many slices go through the backbone at once where activations are computed twice.

Small chunks keep a GPU idle, large ones need memory while a block is computed again. So a chunk is
as large as fits: a training step is counted without the device, with all slices in a chunk and with
half of them, and what is between is interpolated.
"""

import logging
import math
from dataclasses import dataclass, replace

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
from methods.base import Method, MissingRole
from methods.executed import set_execution
from methods.execution import Execution

LEAST = 16  # slices of a chunk: smaller ones save little, and take many times as long
MARGIN = 1.1  # workspaces of libraries; see docs/measuring.md
Shape = tuple[int, int, int]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepBytes:
    """What a training step takes at its peak, by the slices of a chunk."""

    n_slices: int  # of a batch
    whole: int  # with all of them in a chunk
    half: int  # with half of them

    @property
    def per_slice(self) -> float:
        return (self.whole - self.half) / (self.n_slices - self.n_slices // 2)


def choose_slices(step: StepBytes, free: int) -> int:
    """Return the slices of a chunk for a step that has so many bytes; 0: all at once.

    All chunks of a batch have nearly the same size, which is `LEAST` at least, even if the step
    does not fit then: counted in fp32, it may take less than that.
    """
    excess = MARGIN * step.whole - free
    if excess <= 0:
        return 0
    saved = excess / MARGIN / step.per_slice if step.per_slice > 0 else math.inf
    most = max(step.n_slices - saved, min(LEAST, step.n_slices), 1)
    n_chunks = math.ceil(step.n_slices / math.floor(most))
    return math.ceil(step.n_slices / n_chunks)


def choose_execution(spec: RunSpec, info: DatasetInfo, means: Means, fabric: Fabric) -> Execution:
    """Return the execution that was asked for, with chunks that fit if they are to be chosen.

    On a device whose free memory is not known, all slices go at once. So they do if the memory
    cannot be counted, as for a method that looks at numbers.
    """
    asked = means.execution
    if asked.slices_per_chunk is not None:
        return asked
    plain = replace(asked, slices_per_chunk=0)
    free = find_room(fabric.device).free
    if free is None or spec.method.is_reference:
        return plain
    try:
        step = count_step(spec, info, plain, fabric.world_size)
    except MissingRole:
        raise
    except (RuntimeError, NotImplementedError, TypeError) as error:
        cause = str(error).partition("\n")[0]
        log.info("checkpointing: all slices at once (memory was not counted: %s)", cause)
        return plain
    size = choose_slices(step, free)
    words = f"{size} of {step.n_slices} slices" if size else f"all {step.n_slices} slices"
    need = f"a step with all takes {step.whole / MIB:.0f} MiB in fp32, {free / MIB:.0f} are free"
    log.info("checkpointing: %s at once (%s)", words, need)
    return replace(asked, slices_per_chunk=size)


def count_step(spec: RunSpec, info: DatasetInfo, plain: Execution, n_devices: int) -> StepBytes:
    """Return what a step takes on each of the devices that share a batch. Raises: MissingRole."""
    patch = spec.protocol.data.patch
    batch = spec.own_protocol.train.batch // n_devices
    n_slices = batch * patch[0]
    whole = estimate_step(spec, info, plain, patch, batch)
    if n_slices == 1:
        return StepBytes(1, whole, 0)
    halved = replace(plain, slices_per_chunk=n_slices // 2)
    return StepBytes(n_slices, whole, estimate_step(spec, info, halved, patch, batch))


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
