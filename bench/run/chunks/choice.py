"""How many slices go through the backbone at once where activations are computed twice.

Small chunks keep a GPU idle, large ones need memory while a block is computed again. So a chunk is
as large as fits: a training step is counted without the device, with all slices in a chunk and with
half of them, and what is between is interpolated. Then the device tries a step.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from lightning_fabric import Fabric

from bench.cost.memory import MIB
from bench.run.chunks.estimate import MARGIN, estimate_step
from bench.run.chunks.rehearsal import fits
from bench.run.inference.room import find_room
from bench.specs.run import Means, RunSpec
from datasets.base import DatasetInfo
from methods.base import Method
from methods.execution import Execution

LEAST = 16  # slices of a chunk: smaller ones save little, and take many times as long

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


def choose_execution(
    spec: RunSpec, info: DatasetInfo, means: Means, fabric: Fabric, kept: int | None = None
) -> Execution:
    """Return the execution that was asked for, with chunks that fit if they are to be chosen.

    On a device whose free memory is not known, all slices go at once. So they do where chunks would
    change what a method computes. Otherwise a step is tried, and as long as it runs out of memory
    the chunks are halved.

    Args:
        kept: the slices of a chunk of the process that was interrupted; None: it chose none.
    """
    asked = means.execution
    if asked.slices_per_chunk is not None:
        return asked
    whole = replace(asked, slices_per_chunk=0)
    free = find_room(fabric.device).free
    method = spec.method.build()
    if free is None or not isinstance(method, Method) or method.info.chunk_note:
        return whole
    batch = spec.own_protocol.train.batch // fabric.world_size
    n_slices = batch * spec.protocol.data.patch[0]
    if kept is None:
        chosen = replace(asked, slices_per_chunk=_count_slices(spec, info, asked, n_slices, free))
    else:
        chosen = replace(asked, slices_per_chunk=kept)
    return shrink(chosen, n_slices, lambda smaller: fits(spec, info, smaller, fabric))


def _count_slices(
    spec: RunSpec, info: DatasetInfo, asked: Execution, n_slices: int, free: int
) -> int:
    """Return the slices of a chunk by the bytes that are counted; 0 if they cannot be counted."""
    patch = spec.protocol.data.patch

    def count(size: int) -> float:
        chunked = replace(asked, slices_per_chunk=size)
        return MARGIN * estimate_step(spec, info, chunked, patch, n_slices // patch[0])

    try:
        size = choose_slices(n_slices, count, free)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        cause = str(error).partition("\n")[0]
        log.info("checkpointing: all slices at once (memory was not counted: %s)", cause)
        return 0
    words = f"{size} of {n_slices} slices" if size else f"all {n_slices} slices"
    log.info("checkpointing: %s at once (%.0f MiB are free)", words, free / MIB)
    return size


def shrink(
    execution: Execution, n_slices: int, is_enough: Callable[[Execution], bool]
) -> Execution:
    """Return the execution, its chunks halved until a step fits or they have the least size."""
    while not is_enough(execution):
        size = execution.slices_per_chunk or n_slices
        if size <= LEAST:
            log.warning("checkpointing: a step with %d slices at once does not fit", size)
            break
        smaller = max(LEAST, math.ceil(size / 2))
        log.info("checkpointing: %d slices at once do not fit: %d are tried", size, smaller)
        execution = replace(execution, slices_per_chunk=smaller)
    return execution
