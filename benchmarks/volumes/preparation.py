"""Preparing a large CT, reading patches from it, and training memory against the number of cases.

    python -m benchmarks.volumes.preparation [--slices 600] [--cases 500] [--skip-ct] [--skip-cases]

Each figure is measured in a process of its own; peak memory is resident, Python and libraries
included. Exit code 1 if the preparation takes 4 times the float32 size, the median patch 5 ms, or
the many cases 10 % more memory than the few.
"""

import json
import os
import resource
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np

import datasets
from benchmarks.child import run_in_child
from datasets.prepared.prepare import prepare

MIB = 2**20
LARGEST_FACTOR, LARGEST_PATCH_MS, LARGEST_GROWTH = 4.0, 5.0, 0.10
PATCH = (128, 128, 128)


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--cases", type=int, default=500, help="the few are a tenth of them")
    parser.add_argument("--skip-ct", action="store_true", help="leave out the large volume")
    parser.add_argument("--skip-cases", action="store_true", help="leave out the training")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are measured
    passed = []
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.skip_ct:
            passed.append(measure_ct(Path(folder), arguments.slices))
        if not arguments.skip_cases:
            passed.append(measure_cases(Path(folder), arguments.cases))
    return 0 if all(passed) else 1


def measure_ct(folder: Path, n_slices: int) -> bool:
    shape = (512, 512, n_slices)
    write_ct(folder / "ct", shape)
    float32_mib = 4 * float(np.prod(shape)) / MIB
    packed_mib = (folder / "ct" / "volume-0.nii.gz").stat().st_size / MIB
    sizes = f"{packed_mib:.0f} MiB packed, {float32_mib:.0f} MiB float32"
    print(f"CT of {n_slices}x512x512 voxels, int16: {sizes}")
    seconds, peak_mib = run_in_child(prepare_ct, folder)
    factor = peak_mib / float32_mib
    resident = f"{peak_mib:.0f} MiB resident: {factor:.2f} x float32"
    print(f"  prepared in {seconds:.0f} s, peak {resident}")
    clock_ms, processor_ms, packed_ms = run_in_child(read_patches, folder)
    times = f"{clock_ms:.2f} ms on the clock, {processor_ms:.2f} ms of the processor"
    print(f"  128^3 patch, image and label: {times} (medians, warm)")
    print(f"  128^3 patch out of the .nii.gz: {packed_ms:.0f} ms on the clock")
    return factor < LARGEST_FACTOR and clock_ms < LARGEST_PATCH_MS


def measure_cases(folder: Path, n_cases: int) -> bool:
    peaks = []
    for count in (n_cases // 10, n_cases):
        status, peak_mib, arrays_mib = run_in_child(train, folder, count)
        peaks.append(peak_mib)
        sizes = f"{arrays_mib:.0f} MiB of arrays: peak {peak_mib:.1f} MiB"
        print(f"  {count:4} cases, {sizes} ({status})")
    growth = peaks[1] / peaks[0] - 1
    print(f"  {growth:+.1%}")
    return growth < LARGEST_GROWTH


def write_ct(folder: Path, shape: tuple[int, int, int]) -> None:
    """Write a body in air with a liver and a tumour; its noise packs no better than a scan's."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    image = np.full(shape, -1000, dtype=np.int16)
    label = np.zeros(shape, dtype=np.uint8)
    for z in range(shape[2]):
        image[40:470, 60:440, z] = rng.normal(60, 25, (430, 380)).astype(np.int16)
    label[100:300, 120:330, shape[2] // 4 : shape[2] // 2] = 1
    label[180:210, 200:230, shape[2] // 3 : shape[2] // 3 + 20] = 2
    affine = np.diag([-0.77, -0.77, 1.0, 1.0])
    nib.openers.Opener.default_compresslevel = 1
    nib.save(nib.Nifti1Image(image, affine), folder / "volume-0.nii.gz")
    nib.save(nib.Nifti1Image(label, affine), folder / "segmentation-0.nii.gz")


def prepare_ct(folder: Path) -> tuple[float, float]:
    """Return the seconds, and the largest resident memory of this process in MiB (Linux)."""
    dataset = datasets.build("lits", folder / "ct")
    started = time.perf_counter()
    prepare(dataset, dataset.find_cases(), folder / "cache")
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_patches(folder: Path) -> tuple[float, float, float]:
    """Return ms of a patch: on the clock, of the processor, and out of the packed file."""
    dataset = datasets.build("lits", folder / "ct")
    (case,) = prepare(dataset, dataset.find_cases(), folder / "cache")
    rng = np.random.default_rng(0)
    room = np.subtract(case.shape, PATCH)
    starts = [tuple(map(int, rng.integers(room))) for _ in range(60)]
    clock, processor = [], []
    for start in starts[:10] + starts:  # the first ten warm up
        clock_began = time.perf_counter()
        processor_began = time.process_time()
        case.read_patch(start, PATCH)
        clock.append(time.perf_counter() - clock_began)
        processor.append(time.process_time() - processor_began)
    packed_began = time.perf_counter()
    np.asarray(nib.load(folder / "ct" / "volume-0.nii.gz").dataobj[100:228, 100:228, -128:])
    packed = time.perf_counter() - packed_began
    return 1000 * median(clock[10:]), 1000 * median(processor[10:]), 1000 * packed


def train(folder: Path, n_cases: int) -> tuple[str, float, float]:
    """Train on phantoms as `bench run` does, in a child; return status, its peak and the arrays."""
    from bench.cli.app import main as bench

    root, out = folder / "phantoms", folder / f"results{n_cases}"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    sys.stdout = sys.stderr
    assert bench(["data", "demo", "--cases", str(n_cases), "--out", str(root)]) == 0
    command = ["run", "--methods", "linear", "--preset", "demo", "--epochs", "2"]
    command += ["--data-root", str(root), "--out", str(out), "--device", "cpu"]
    command += ["--set", "data.patches_per_epoch=100", "--set", "data.n_folds=10"]
    command += ["--set", "data.val_frac=0.05", "--set", "train.val_every=2"]
    bench(command)
    (file,) = out.glob("runs/*/result.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    arrays = sum(file.stat().st_size for file in out.glob("cache/**/*.npy"))
    return record["status"], record["cost"]["peak_memory_mib"], arrays / MIB


if __name__ == "__main__":
    sys.exit(main())
