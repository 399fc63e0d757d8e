"""What a run takes of the machine while it goes on: a short series, sampled beside the run and kept in its folder."""

from __future__ import annotations

import csv
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

USAGE_FILE = "usage.csv"
INTERVAL_S = 1.0  # at first; doubled whenever there are too many samples
MOST_SAMPLES = 240

log = logging.getLogger(__name__)

Sample = dict[str, float]


@contextmanager
def record_usage(folder: Path, device: str, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Sample this process and its device in the background, into ``usage.csv`` in ``folder``.

    Columns: at_ms (since 1970), cpu_percent (100 = one core), memory_mib (resident), on a GPU
    gpu_memory_mib (what torch's allocator holds) and, where NVML tells, gpu_percent. There is at
    least one sample, also of the shortest run, and after a kill all but the last are there.
    """
    over = threading.Event()
    sampler = threading.Thread(
        target=_keep_sampling, args=(folder / USAGE_FILE, device, interval_s, over), daemon=True
    )
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()


def read_usage(folder: Path) -> list[tuple[int, Sample]]:
    """Return the time in ms and the values of each sample of the run in ``folder``; none if it was not sampled."""
    file = folder / USAGE_FILE
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        rows = [
            {name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)
        ]
    return [(int(row.pop("at_ms")), row) for row in rows]


def _keep_sampling(file: Path, device: str, interval_s: float, over: threading.Event) -> None:
    probes = _build_probes(device)
    samples: list[Sample] = []
    for probe in probes.values():
        probe()  # a share of time needs a beginning
    ended = False
    while not ended:
        ended = over.wait(interval_s)
        samples.append(
            {"at_ms": int(time.time() * 1000)} | {name: probe() for name, probe in probes.items()}
        )
        if len(samples) > MOST_SAMPLES:
            samples, interval_s = samples[1::2], 2 * interval_s
        try:
            _write(file, samples)
        except OSError as error:  # not worth a run
            log.warning("usage: %s cannot be written: %s", file, error)
            return


def _build_probes(device: str) -> dict[str, Callable[[], float]]:
    process = psutil.Process()
    probes: dict[str, Callable[[], float]] = {
        "cpu_percent": process.cpu_percent,
        "memory_mib": lambda: process.memory_info().rss / 2**20,
    }
    if not device.startswith("cuda"):
        return probes
    import torch

    probes["gpu_memory_mib"] = lambda: torch.cuda.memory_reserved(device) / 2**20
    try:
        torch.cuda.utilization(device)
    except (ImportError, RuntimeError):  # no NVML for Python, or a driver that does not tell
        return probes
    return probes | {"gpu_percent": lambda: float(torch.cuda.utilization(device))}


def _write(file: Path, samples: list[Sample]) -> None:
    partial = file.with_suffix(".partial")
    with partial.open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(samples[0]))
        table.writeheader()
        table.writerows(samples)
    partial.replace(file)
