"""How many runs go on at once, and on which devices."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from bench.grid.answers import ask
from bench.specs.protocol import SpecError
from bench.specs.run import USUAL, Means

MOST_ON_CPU = 4  # runs at once by default
MOST_JOBS = 10_000
MOST_DATA_WORKERS = 8  # by default
KINDS = ("cuda", "mps", "cpu")  # of devices, the fastest first
FIND_DEVICES = "bench.grid.slots:find_devices"


@dataclass(frozen=True)
class Slots:
    """The places of the runs that go on at once."""

    devices: tuple[str, ...]  # one entry a slot: its device, or the first of several
    means: Means = USUAL
    timeout_s: float = inf  # how long a run, or a trial, may take

    def means_on(self, device: str) -> Means:
        """Return the means of a run on one of the devices, beside those of the other slots."""
        return choose_data_workers(self.means, device, len(self.devices))


def choose_slots(
    asked: str,
    jobs: int | None = None,
    means: Means = USUAL,
    threads: int = 1,
    timeout_s: float = inf,
) -> Slots:
    """Return a slot for each of the jobs; several devices are dealt out in turn.

    Args:
        asked: as in `choose_devices`.
        jobs: how many; by default one a GPU, on a CPU as many as its cores have room for.
        means: of all of them.
        threads: of each run, by its protocol. They do not depend on the number of jobs, for another
            number of threads gives other bits.
        timeout_s: of each run.

    Raises: SpecError if the device, or so many of them, are not on this machine.
    """
    devices = group_devices(choose_devices(asked), means.n_devices)
    jobs = jobs or count_jobs(devices, max(1, count_cores() // (threads * means.n_devices)))
    if jobs > MOST_JOBS:
        raise SpecError(f"--jobs: must be at most {MOST_JOBS}, got {jobs}")
    dealt = tuple(devices[slot % len(devices)] for slot in range(jobs))
    return Slots(dealt, means, timeout_s)


def group_devices(devices: list[str], n_devices: int) -> list[str]:
    """Return the first device of each group of so many; a group's others follow it.

    A CPU has room for any number of processes. Raises: SpecError if there are too few.
    """
    if n_devices == 1 or devices == ["cpu"]:
        return devices
    firsts = devices[: 1 - n_devices : n_devices]
    if not firsts:
        rule = f"must be at most {len(devices)}, as there is {', '.join(devices)}"
        hint = "--device cuda takes all GPUs that CUDA_VISIBLE_DEVICES shows"
        raise SpecError(f"--devices: {rule}, got {n_devices} ({hint})")
    return firsts


def choose_devices(asked: str) -> list[str]:
    """Return the devices that ``auto``, ``cuda``, ``cuda:1``, ... is. Raises: SpecError if none."""
    if asked == "cpu":
        return ["cpu"]
    devices = find_devices() if "torch" in sys.modules else _ask_for_devices()
    if asked == "auto":
        return next(iter(devices.values()))
    if asked in devices:
        return devices[asked]
    if asked in devices.get("cuda", []):
        return [asked]
    hint = "auto, cpu, or one that torch sees"
    raise SpecError(f"--device: '{asked}' is not on this machine ({hint})")


def _ask_for_devices() -> dict[str, list[str]]:
    """Find the devices without importing torch here. Raises: SpecError if torch cannot tell."""
    try:
        found: dict[str, list[str]] = ask(FIND_DEVICES, KINDS)
    except ValueError as error:
        raise SpecError(f"--device: {error}") from error
    return found


def find_devices(kinds: Sequence[str] = KINDS) -> dict[str, list[str]]:
    """Return the devices of this machine that torch sees, by their kind."""
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    found = {"cuda": gpus, "mps": ["mps"] * torch.backends.mps.is_available(), "cpu": ["cpu"]}
    return {kind: found[kind] for kind in kinds if found[kind]}


def count_jobs(devices: list[str], room: int) -> int:
    """Return how many runs go on at once by default: one a GPU, at most ``room`` on a CPU."""
    return min(room, MOST_ON_CPU) if devices == ["cpu"] else len(devices)


def choose_data_workers(means: Means, device: str, n_runs: int) -> Means:
    """Return the means of one of ``n_runs`` at once with their data workers, if none were chosen.

    A GPU gets what the cores have to spare; on a CPU the training needs them itself.
    """
    if means.data_workers is not None:
        return means
    if not device.startswith("cuda"):
        return replace(means, data_workers=0)
    spare = count_cores() // (n_runs * means.n_devices) - 1
    return replace(means, data_workers=min(max(spare, 1), MOST_DATA_WORKERS))


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
