"""Preparing a large CT, reading patches from it, and training memory against the number of cases.

    python -m benchmarks.data [--slices 600] [--cases 500] [--skip-ct] [--skip-cases]

A synthetic CT of 600x512x512 voxels (int16, .nii.gz, with a label) is prepared in a process of its
own: its peak resident memory, Python and libraries included, is compared with the float32 size of
the volume. Then patches of 128^3 voxels are read at random places, from the prepared arrays (image
and label) and, for comparison, out of the .nii.gz with nibabel. Finally one run (linear probing,
tiny ViT, 200 steps) is trained on 50 small cases and on ten times as many, each in a process of its
own; their peak resident memories are compared. Exit code 1 if the preparation takes 4 times the
float32 size, the median patch 5 ms, or the many cases 10 % more memory than the few.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

MIB = 2**20
LARGEST_FACTOR, LARGEST_PATCH_MS, LARGEST_GROWTH = 4.0, 5.0, 0.10
PATCH = (128, 128, 128)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument(
        "--cases", type=int, default=500, help="the many; the few are a tenth of them"
    )
    parser.add_argument("--skip-ct", action="store_true", help="leave out the large volume")
    parser.add_argument("--skip-cases", action="store_true", help="leave out the training")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)  # what a child is to do
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments.folder, arguments.cases)))
        return 0
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
    packed = folder / "ct" / "volume-0.nii.gz"
    float32_mib = 4 * float(np.prod(shape)) / MIB
    packed_mib = packed.stat().st_size / MIB
    print(
        f"CT of {n_slices}x512x512 voxels, int16: {packed_mib:.0f} MiB packed, {float32_mib:.0f} MiB float32"
    )
    found = run_child("prepare", folder)
    factor = found["peak_mib"] / float32_mib
    print(
        f"  prepared in {found['seconds']:.0f} s, peak {found['peak_mib']:.0f} MiB resident: {factor:.2f} x float32"
    )
    patch = run_child("patches", folder)
    clock, processor = patch["clock_ms"], patch["processor_ms"]
    times = f"{clock:.2f} ms on the clock, {processor:.2f} ms of the processor (medians, warm)"
    print(f"  128^3 patch, image and label: {times}")
    print(f"  128^3 patch out of the .nii.gz: {patch['packed_ms']:.0f} ms on the clock")
    return factor < LARGEST_FACTOR and clock < LARGEST_PATCH_MS


def measure_cases(folder: Path, n_cases: int) -> bool:
    peaks = {}
    for count in (n_cases // 10, n_cases):
        found = run_child("train", folder, count)
        peaks[count] = found["peak_mib"]
        print(
            f"  {count:4} cases, {found['arrays_mib']:.0f} MiB of arrays: peak {found['peak_mib']:.1f} MiB "
            f"({found['status']})"
        )
    few, many = peaks.values()
    print(f"  {many / few - 1:+.1%}")
    return many / few - 1 < LARGEST_GROWTH


def write_ct(folder: Path, shape: tuple[int, int, int]) -> None:
    """Write a body in air with a liver and a tumour; noise, so that it packs no better than a scan."""
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


def run_child(task: str, folder: Path, n_cases: int = 0) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.data",
        "--child",
        task,
        "--folder",
        str(folder),
        "--cases",
        str(n_cases),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare_here(folder: Path, _: int) -> dict[str, float]:
    import datasets
    from datasets.prepared.prepare import prepare

    dataset = datasets.build("lits", folder / "ct")
    started = time.perf_counter()
    prepare(dataset, dataset.find_cases(), folder / "cache")
    return {"seconds": time.perf_counter() - started, "peak_mib": peak_mib()}


def read_here(folder: Path, _: int) -> dict[str, float]:
    import datasets
    from datasets.prepared.prepare import prepare

    dataset = datasets.build("lits", folder / "ct")
    (case,) = prepare(dataset, dataset.find_cases(), folder / "cache")
    rng = np.random.default_rng(0)
    starts = [
        tuple(int(rng.integers(room)) for room in np.subtract(case.shape, PATCH)) for _ in range(60)
    ]
    clock, processor = [], []
    for start in starts[:10] + starts:  # the first ten warm up
        began = time.perf_counter(), time.process_time()
        case.read_patch(start, PATCH)
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    began_packed = time.perf_counter()
    np.asarray(nib.load(folder / "ct" / "volume-0.nii.gz").dataobj[100:228, 100:228, -128:])
    packed = time.perf_counter() - began_packed
    medians = statistics.median(clock[10:]), statistics.median(processor[10:]), packed
    return dict(
        zip(
            ("clock_ms", "processor_ms", "packed_ms"),
            (1000 * each for each in medians),
            strict=True,
        )
    )


def train_here(folder: Path, n_cases: int) -> dict[str, object]:
    """Train on phantoms in a child of this process, as `bench run` does, and return the child's peak."""
    from bench.cli.app import main as bench

    root, out = folder / "phantoms", folder / f"results{n_cases}"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    sys.stdout = sys.stderr  # the last line of the true one is the answer
    assert bench(["data", "demo", "--cases", str(n_cases), "--out", str(root)]) == 0
    settings = [
        "data.patches_per_epoch=100",
        "data.n_folds=10",
        "data.val_frac=0.05",
        "train.val_every=2",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    command = [
        "run",
        "--methods",
        "linear",
        "--preset",
        "demo",
        "--data-root",
        str(root),
        "--epochs",
        "2",
        "--out",
        str(out),
    ]
    bench([*command, "--device", "cpu", *options])
    (record,) = [json.loads(file.read_text()) for file in out.glob("runs/*/result.json")]
    sys.stdout = sys.__stdout__
    arrays = sum(file.stat().st_size for file in out.glob("cache/**/*.npy"))
    return {
        "status": record["status"],
        "peak_mib": record["cost"]["peak_memory_mib"],
        "arrays_mib": arrays / MIB,
    }


def peak_mib() -> float:
    """Return the largest resident memory of this process so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


CHILDREN = {"prepare": prepare_here, "patches": read_here, "train": train_here}


if __name__ == "__main__":
    sys.exit(main())
