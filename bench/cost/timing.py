"""Seconds of a repeated function, and the energy of a block."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from reports.records.cost import Timing


@dataclass(frozen=True)
class Repeats:
    """How often a function is timed after its warm-up."""

    warm_up: int = 1
    at_least: int = 3
    at_most: int = 20
    budget_s: float = 0.5  # no further repeats after it, within the two bounds


def time_repeats(
    function: Callable[[], object], device: torch.device, repeats: Repeats = Repeats()
) -> Timing:
    """Return the median and the distance of the quartiles; the device is idle at each reading."""
    for _ in range(repeats.warm_up):
        function()
    seconds: list[float] = []
    while len(seconds) < repeats.at_most:
        if len(seconds) >= repeats.at_least and sum(seconds) >= repeats.budget_s:
            break
        synchronize(device)
        started = time.perf_counter()
        function()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median_s=median, iqr_s=upper - lower, n=len(seconds))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@dataclass
class Energy:
    """What a block has used; None while it runs and where the device does not measure it."""

    joules: float | None = None


@contextmanager
def metered(device: torch.device) -> Iterator[Energy]:
    """Measure an NVIDIA board's energy over a block, if ``pynvml`` (``nvidia-ml-py``) is there."""
    energy = Energy()
    read_mj = _open_counter(device)
    started = read_mj() if read_mj else None
    yield energy
    synchronize(device)
    if read_mj and started is not None:
        energy.joules = (read_mj() - started) / 1000


def _open_counter(device: torch.device) -> Callable[[], int] | None:
    """Return a function that reads the energy counter in mJ, or None where there is none."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid  # CUDA_VISIBLE_DEVICES is not NVML's
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # older boards do not have it
    except pynvml.NVMLError:
        return None
    return lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
