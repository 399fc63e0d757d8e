"""All scores of one case, on one core, against MONAI's functions for the same numbers.

    python -m benchmarks.volumes.metrics [--repeat 3] [--skip-ct]

Two synthetic cases; the prediction is the reference with a moved, ragged outline, a lesion that is
missed and a small one far away that is not there. Exit code 1 if the largest difference from MONAI
is above 1e-4, or if a case takes longer than its limit (1 s, 15 s).
"""

import sys
import time
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from bench.scoring.metrics import Scoring, region_mask, score_case
from bench.specs.protocol import EvalSpec
from datasets.base import DatasetInfo
from datasets.brats import Brats
from datasets.lits import Lits

Lengths = tuple[float, float, float]
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Benchmark:
    name: str
    info: DatasetInfo
    spacing_mm: Lengths
    limit_s: float
    prediction: np.ndarray
    reference: np.ndarray


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest repetition counts")
    parser.add_argument("--skip-ct", action="store_true", help="leave out the large volume")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    passed = [run(build_glioma(), arguments.repeat)]
    if not arguments.skip_ct:
        passed.append(run(build_liver(), arguments.repeat))
    return 0 if all(passed) else 1


def run(case: Benchmark, repeat: int) -> bool:
    """Print the figures of a case; return whether it keeps its limits."""
    scoring = Scoring(case.info, EvalSpec())
    maps = case.prediction, case.reference
    ours_s, rows = fastest(lambda: score_case("case", *maps, case.spacing_mm, scoring), repeat)
    monai_s, expected = fastest(lambda: score_monai(case, scoring), repeat)
    shape = "x".join(map(str, case.reference.shape))
    print(f"{case.name}, {shape} voxels, {len(rows)} regions, one core")
    difference = 0.0
    for row, monai in zip(rows, expected, strict=True):
        for name, value in monai.items():
            difference = max(difference, abs(getattr(row, name) - value))
        size = f"{row.region:<8}{row.n_reference_vox:>9} vox"
        scores = f"Dice {row.dice:.4f}  HD95 {row.hd95_mm:7.3f} mm  NSD {row.nsd:.4f}"
        print(f"  {size}  {scores} at {row.nsd_tolerance_mm:g} mm")
    times = f"ours {ours_s:.2f} s (limit {case.limit_s:g} s), MONAI {monai_s:.2f} s"
    print(f"  {times}: {monai_s / ours_s:.1f}x")
    print(f"  largest difference from MONAI {difference:.1e}", flush=True)
    return ours_s <= case.limit_s and difference <= LARGEST_DIFFERENCE


def fastest(measure: Callable[[], list[Any]], repeat: int) -> tuple[float, list[Any]]:
    seconds, answer = [], []
    for _ in range(repeat):
        started = time.perf_counter()
        answer = measure()
        seconds.append(time.perf_counter() - started)
    return min(seconds), answer


def score_monai(case: Benchmark, scoring: Scoring) -> list[dict[str, float]]:
    found = []
    for region in case.info.regions:
        tolerance_mm = scoring.tolerance_mm(region.name, case.spacing_mm)
        masks = []
        for classes in (case.prediction, case.reference):
            masks.append(torch.from_numpy(region_mask(classes, region))[None, None])
        both = {"include_background": True, "spacing": list(case.spacing_mm)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MONAI deprecates an argument that it passes to itself
            dice = compute_dice(*masks, include_background=True)
            hd95_mm = compute_hausdorff_distance(*masks, percentile=95, **both)
            nsd = compute_surface_dice(*masks, [tolerance_mm], use_subvoxels=True, **both)
        found.append({"dice": dice.item(), "hd95_mm": hd95_mm.item(), "nsd": nsd.item()})
    return found


def build_glioma() -> Benchmark:
    """Oedema around a core around an enhancing part; the prediction misses a second lesion."""
    maps = []
    for seed, shift in ((0, 0.0), (1, 2.0)):
        classes = np.zeros((155, 240, 240), dtype=np.uint8)
        centre = (80 + shift, 120, 95 - shift)
        for label, radius in ((2, 38.0), (1, 24.0), (3, 17.0)):
            paint(classes, label, centre, (radius, 1.3 * radius, radius), seed)
        maps.append(classes)
    reference, prediction = maps
    paint(reference, 2, (60, 150, 170), (6, 6, 6), 2)
    paint(prediction, 3, (120, 60, 150), (2, 2, 2), 3)
    spacing_mm = (1.0, 1.0, 1.0)
    return Benchmark("glioma", Brats.describe("brats2020"), spacing_mm, 1.0, prediction, reference)


def build_liver() -> Benchmark:
    """A liver of about 1.6 l with two tumours, one of them missed."""
    maps = []
    for seed, shift in ((0, 0.0), (1, 2.0)):
        classes = np.zeros((600, 512, 512), dtype=np.uint8)
        paint(classes, 1, (380 + shift, 230, 180 - shift), (85, 85, 105), seed)
        paint(classes, 2, (400 + shift, 230, 170), (22, 28, 28), seed + 2)
        maps.append(classes)
    reference, prediction = maps
    paint(reference, 2, (350, 260, 200), (5, 6, 6), 4)
    paint(prediction, 2, (90, 120, 400), (3, 4, 4), 5)
    spacing_mm = (1.0, 0.77, 0.77)
    return Benchmark("liver", Lits.describe("lits17"), spacing_mm, 15.0, prediction, reference)


def paint(classes: np.ndarray, label: int, centre: Lengths, radii: Lengths, seed: int) -> None:
    """Fill a ragged ellipsoid (voxels) of a class map in place."""
    box = []
    for middle, radius, size in zip(centre, radii, classes.shape, strict=True):
        reach = 1.4 * radius
        box.append(slice(max(0, int(middle - reach)), min(size, int(middle + reach) + 1)))
    part = classes[tuple(box)]
    coarse = np.random.default_rng(seed).normal(size=(7, 7, 7))
    level = 0.25 * ndimage.zoom(coarse, [size / 7 for size in part.shape], order=1)
    for axis, middle, radius in zip(np.ogrid[tuple(box)], centre, radii, strict=True):
        level = level + ((axis - middle) / radius) ** 2
    part[level < 1] = label


if __name__ == "__main__":
    sys.exit(main())
