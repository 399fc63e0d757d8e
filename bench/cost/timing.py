"""Seconds of a repeated function, and the energy of a block."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bench.cost.compiling import work_s
from reports.records.cost import Timing


@dataclass(frozen=True)
class Repeats:
    """How often a function is timed after its warm-up.

    Attributes:
        at_least: unless a single call takes longer than the budget; that one is enough then.
        budget_s: no further repeats after it, within the two bounds.
    """

    at_least: int = 3
    at_most: int = 20
    budget_s: float = 0.5


def time_repeats(
    function: Callable[[], object],
    device: torch.device,
    repeats: Repeats = Repeats(),
    *,
    is_warm: bool = False,
) -> Timing:
    """Return the median and the distance of the quartiles; the device is idle at each reading.

    The first call is a warm-up. Where the function has run before (``is_warm``), a CPU needs none:
    if the first call takes longer than the budget, it is the one that counts.
    """
    first_s = time_call(function, device)
    if is_warm and device.type == "cpu" and first_s > repeats.budget_s:
        return Timing(median_s=first_s, iqr_s=0.0, n=1)
    seconds: list[float] = []
    while len(seconds) < repeats.at_most:
        is_spent = sum(seconds) >= repeats.budget_s
        is_long = max(seconds, default=0.0) > repeats.budget_s
        if is_spent and (is_long or len(seconds) >= repeats.at_least):
            break
        seconds.append(time_call(function, device))
    if len(seconds) == 1:
        return Timing(median_s=seconds[0], iqr_s=0.0, n=1)
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median_s=median, iqr_s=upper - lower, n=len(seconds))


@dataclass(frozen=True)
class Part:
    """A part of some work, whose time tells that of the whole.

    Attributes:
        scale: how many times as long the whole takes.
    """

    function: Callable[[], object]
    scale: float = 1.0


def time_part(part: Part, device: torch.device, repeats: Repeats) -> Timing:
    """Return the timing of the whole, by repeating a part that has run before."""
    found = time_repeats(part.function, device, repeats, is_warm=True)
    return Timing(part.scale * found.median_s, part.scale * found.iqr_s, found.n, part.scale)


def time_call(function: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call, without those of compiling."""
    synchronize(device)
    started = work_s()
    function()
    synchronize(device)
    return work_s() - started


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Energy:
    """What NVIDIA boards use together, if ``pynvml`` (``nvidia-ml-py``) is there."""

    def __init__(self, *devices: torch.device) -> None:
        self.read_mj = _open_counters(devices)
        self.started_mj = self.read_mj() if self.read_mj else 0
        self.joules: float | None = None  # at the end

    def read(self) -> float | None:
        """Return the joules so far, or until the end; None where the device does not measure."""
        if self.joules is not None or self.read_mj is None:
            return self.joules
        return (self.read_mj() - self.started_mj) / 1000


@contextmanager
def metered(device: torch.device, *others: torch.device) -> Iterator[Energy]:
    """Measure the energy of a block that ``device`` carries out, alone or with others."""
    energy = Energy(device, *others)
    yield energy
    synchronize(device)
    energy.joules = energy.read()


def _open_counters(devices: Sequence[torch.device]) -> Callable[[], int] | None:
    """Return a function that reads the sum of the energy counters; None where one has none."""
    counters = []
    for device in devices:
        counter = _open_counter(device)
        if counter is None:
            return None
        counters.append(counter)
    return lambda: sum(read() for read in counters)


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
