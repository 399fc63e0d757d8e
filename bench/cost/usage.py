"""What a run uses of the machine over time: a short series in the folder of the run."""

import csv
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean

import psutil

from bench.cost.compiling import was_compiling

USAGE_FILE = "usage.csv"
INTERVAL_S = 1.0  # at first; doubled when there are more than `MOST_SAMPLES`
MOST_SAMPLES = 240
VALUES = ("cpu_percent", "memory_mib", "gpu_memory_mib", "gpu_percent")
LATEST_MS = 1 << 43  # in the year 2248; a later time is damage

log = logging.getLogger(__name__)

Sample = dict[str, float]


@contextmanager
def record_usage(folder: Path, device: str, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Sample this process and its device in the background, into ``usage.csv`` in ``folder``.

    Columns: at_ms (since 1970), cpu_percent (100 = one core), memory_mib (resident), on a GPU
    gpu_memory_mib (reserved by torch's allocator) and, with NVML, gpu_percent. The shortest run has
    one sample; a killed run lacks the last one.
    """
    over = threading.Event()
    args = (folder / USAGE_FILE, device, interval_s, over)
    sampler = threading.Thread(target=_keep_sampling, args=args, daemon=True)
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()


def read_usage(folder: Path) -> list[tuple[int, Sample]]:
    """Return the time in ms and the values of each sample of a run; empty if there are none.

    Samples are no result: lines that are damaged, such as the last of a killed run, are left out.
    """
    file = folder / USAGE_FILE
    if not file.is_file():
        return []
    samples = []
    names, *lines = file.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    columns = names.split(",")
    for line in lines:
        with suppress(ValueError, KeyError, OverflowError):
            values = dict(zip(columns, map(float, line.split(",")), strict=True))
            at_ms = int(values["at_ms"])
            if 0 <= at_ms < LATEST_MS:
                samples.append((at_ms, {name: values[name] for name in VALUES if name in values}))
    return samples


def mean_gpu_busy(folder: Path, since_s: float) -> float | None:
    """Return the share of time in which the GPU computed, mean over the samples of a run.

    ``since_s``: since 1970; earlier samples do not count, nor those while the network was compiled.
    None: no sample tells.
    """
    values = []
    for at_ms, sample in read_usage(folder):
        if at_ms < 1000 * since_s or was_compiling(at_ms / 1000):
            continue
        if "gpu_percent" in sample:
            values.append(sample["gpu_percent"])
    return fmean(values) / 100 if values else None


def _keep_sampling(file: Path, device: str, interval_s: float, over: threading.Event) -> None:
    probes = _build_probes(device)
    samples: list[Sample] = []
    for probe in probes.values():
        probe()  # the first share of time begins here
    ended = False
    while not ended:
        ended = over.wait(interval_s)
        sample: Sample = {"at_ms": int(time.time() * 1000)}
        for name, probe in probes.items():
            sample[name] = probe()
        samples.append(sample)
        if len(samples) > MOST_SAMPLES:
            samples = samples[1::2]
            interval_s *= 2
        try:
            _write(file, samples)
        except OSError as error:  # no reason to end the run
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
    except (ImportError, RuntimeError):  # no NVML for Python, or a driver without this figure
        return probes
    return probes | {"gpu_percent": lambda: float(torch.cuda.utilization(device))}


def _write(file: Path, samples: list[Sample]) -> None:
    partial = file.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(samples[0]))
        table.writeheader()
        table.writerows(samples)
    partial.replace(file)
