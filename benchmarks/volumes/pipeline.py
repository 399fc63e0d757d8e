"""How long a device waits for patches, with and without threads that read them ahead.

    python -m benchmarks.volumes.pipeline [--steps 100]

The patches are those of the presets `quick` and `paper`, two at a time, from prepared phantoms of
240x240x155 voxels with four channels. The device is simulated: it takes a fixed time for a step and
needs no processor. Exit code 1 if it waits for more than 5 % of the time with the threads that
these cores allow.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import torch

import datasets
from bench.grid.slots import count_cores
from datasets.base import VolumeShape
from datasets.phantoms.write import write_phantoms
from datasets.prepared.batches.ahead import BatchReader
from datasets.prepared.batches.patches import Batch, Patches
from datasets.prepared.case import PreparedCase
from datasets.prepared.prepare import prepare

BATCH = 2
LARGEST_SHARE = 0.05  # of the time
STEPS_MS: dict[VolumeShape, float] = {(32, 128, 128): 50.0, (128, 128, 128): 75.0}
N_CASES = 2
PER_EPOCH = 250  # patches, as in `quick`


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cores = count_cores()
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(Path(folder))
        print(f"{cores} cores; a step takes {BATCH} patches of four channels")
        header = f"{'patch':<14}{'step ms':>9}{'threads':>9}{'waiting':>9}"
        print(f"{header}{'patches/s':>11}{'processor ms a patch':>22}")
        passed = True
        for size, step_ms in STEPS_MS.items():
            for n_threads in range(cores):
                share = measure(cases, size, step_ms, n_threads, arguments.steps)
            passed &= share <= LARGEST_SHARE
    return 0 if passed else 1


def make_cases(folder: Path) -> list[PreparedCase]:
    write_phantoms("brats2020", folder / "data", N_CASES, shape=(155, 240, 240))
    dataset = datasets.build("brats2020", folder / "data")
    return prepare(dataset, dataset.find_labelled(), folder / "cache")


def measure(
    cases: list[PreparedCase], size: VolumeShape, step_ms: float, n_threads: int, n_steps: int
) -> float:
    """Print a row; return the share of the time that the device waits."""
    patches = Patches(cases, size, PER_EPOCH, seed=0, foreground_frac=0.5, augment=True)
    batches = iter_epochs(BatchReader(patches, BATCH, n_threads))
    next(batches)  # checksums of the files
    began, processor_s = time.perf_counter(), time.process_time()
    for _ in range(n_steps):
        next(batches)
        time.sleep(step_ms / 1000)
    took_s = time.perf_counter() - began
    processor_ms = 1000 * (time.process_time() - processor_s) / (n_steps * BATCH)
    share = 1 - n_steps * step_ms / 1000 / took_s
    row = f"{'x'.join(map(str, size)):<14}{step_ms:>9.0f}{n_threads:>9}{share:>9.1%}"
    print(f"{row}{n_steps * BATCH / took_s:>11.1f}{processor_ms:>22.1f}", flush=True)
    return share


def iter_epochs(reader: BatchReader) -> Iterator[Batch]:
    return chain.from_iterable(map(reader.read_epoch, count()))


if __name__ == "__main__":
    sys.exit(main())
