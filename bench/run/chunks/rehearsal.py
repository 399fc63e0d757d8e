"""Whether a training step fits into a device: it is carried out there, on another network.

That network is built like the run's own, which has no part in it: a method may count its steps.
"""

import gc

import torch
from lightning_fabric import Fabric

from bench.cost.memory import is_out_of_memory, peak_left_out
from bench.run.network import build, build_fabric
from bench.run.training.step import Batch, build_step
from bench.specs.run import RunSpec
from datasets.base import DatasetInfo
from methods.executed import set_execution
from methods.execution import Execution

N_STEPS = 2  # the first allocates the optimiser's state


def fits(spec: RunSpec, info: DatasetInfo, execution: Execution, fabric: Fabric) -> bool:
    """Return whether a step of the run fits; the random numbers stay as they are."""
    device = fabric.device
    devices = [device] if device.type == "cuda" else []
    try:
        with peak_left_out(device), torch.random.fork_rng(devices=devices):
            _carry_out(spec, info, execution, fabric)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        is_enough = False
    else:
        is_enough = True
    gc.collect()  # what an error has interrupted refers to itself
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return is_enough


def _carry_out(spec: RunSpec, info: DatasetInfo, execution: Execution, fabric: Fabric) -> None:
    train = spec.own_protocol.train
    alone = fabric
    if fabric.world_size > 1:
        alone = build_fabric(str(fabric.device), train.precision)
    model = build(spec, info)
    set_execution(model, execution)
    step = build_step(model.train(), train, alone)
    batch = alone.to_device(_draw_batch(spec, info, train.batch // fabric.world_size))
    for _ in range(N_STEPS):
        step.repeat(batch)


def _draw_batch(spec: RunSpec, info: DatasetInfo, n_patches: int) -> Batch:
    """Return patches of noise, whose label is background."""
    patch = spec.protocol.data.patch
    batch = {
        "image": torch.randn(n_patches, len(info.channels), *patch),
        "label": torch.zeros(n_patches, *patch, dtype=torch.uint8),
    }
    if info.ignored_value is not None:
        batch["ignored"] = torch.zeros(n_patches, *patch, dtype=torch.bool)
    return batch
