"""`bench data check` on label files alone, of the size of KiTS19, in one process.

    python -m benchmarks.volumes.labels [--cases 210]

The shapes follow KiTS19: 29 to 834 slices of 512x512 voxels, 108 in the middle, and one file of
1059x512x796. Exit code 1 if the peak of resident memory is 300 MiB or more.
"""

import gzip
import os
import resource
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from math import exp
from pathlib import Path
from statistics import NormalDist

import nibabel as nib
import numpy as np

import datasets
from benchmarks.child import run_in_child
from datasets.phantoms.files import build_geometry
from datasets.volumes.checking import check_dataset

MIB = 2**20
MOST_MIB = 300.0
MIDDLE, SPREAD = 108, 1.15  # of the number of slices, log-normal
FEWEST, MOST = 29, 834
LARGEST = (1059, 512, 796)  # (D, H, W)
SPACING_MM = (3.0, 0.78125, 0.78125)


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=210)
    n_cases = parser.parse_args().cases
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "kits19"
        shapes = list_shapes(n_cases)
        for number, shape in enumerate(shapes):
            write_label(root / f"case_{number:05d}" / "segmentation.nii.gz", shape)
        voxels = sum(int(np.prod(shape)) for shape in shapes)
        packed = sum(file.stat().st_size for file in root.rglob("*.gz")) / MIB
        print(f"{n_cases} label files, {voxels / 1e9:.2f} G voxels, {packed:.0f} MiB packed")
        seconds, peak_mib, n_problems = run_in_child(check, root)
    rate = voxels / seconds / 1e6
    print(f"  read in {seconds:.0f} s by one process ({rate:.0f} M voxels a second)")
    print(f"  peak {peak_mib:.0f} MiB resident; {n_problems} problems: no case has an image")
    return 0 if peak_mib < MOST_MIB else 1


def list_shapes(n_cases: int) -> list[tuple[int, int, int]]:
    """Return the shapes (D, H, W) of the cases; the first is the largest."""
    shapes = [LARGEST]
    for number in range(1, n_cases):
        score = NormalDist().inv_cdf(number / n_cases)
        n_slices = round(MIDDLE * exp(SPREAD * score))
        shapes.append((min(max(n_slices, FEWEST), MOST), 512, 512))
    return shapes


def write_label(path: Path, shape: tuple[int, int, int]) -> None:
    """Write two kidneys and a tumour, stored as KiTS stores them, plane by plane."""
    geometry = build_geometry(shape, "IPL", SPACING_MM)
    header = nib.Nifti1Header()
    header.set_data_shape(geometry.shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(geometry.affine, code=2)
    header.set_zooms(tuple(SPACING_MM))
    header.set_xyzt_units("mm")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    depth, height, width = geometry.shape
    plane = np.zeros((depth, height), dtype=np.uint8)
    plane[depth // 4 : depth // 2, 200:330] = 1
    tumour = plane.copy()
    tumour[depth // 3 : depth // 3 + 12, 230:260] = 2
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.binaryblock + bytes(4))
        for index in range(width):
            is_kidney = 100 <= index < 190 or 330 <= index < 420
            chosen = tumour if 140 <= index < 160 else plane
            stream.write((chosen if is_kidney else np.zeros_like(plane)).tobytes(order="F"))


def check(root: Path) -> tuple[float, float, int]:
    """Return seconds, the largest resident memory of this process in MiB, and the problems."""
    started = time.perf_counter()
    findings = check_dataset(datasets.build("kits19", root), jobs=1)
    seconds = time.perf_counter() - started
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak_mib, len(findings.problems)


if __name__ == "__main__":
    raise SystemExit(main())
