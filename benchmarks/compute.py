"""Multiply-accumulates of every method, forward and training, as they stand in docs/measuring.md.

    python -m benchmarks.compute [--backbone vit_b16] [--patch 128,128,128]

One patch of 4 channels and 4 classes (Med-Tuning's on BraTS by default). Networks and patch are on
torch's meta device, so that no memory is needed; the counter is the one that counts the training of
a run. Exit code 1 if an operation has no rule, or if training does not get dearer from linear over
LoRA in the last half of the blocks and LoRA in all of them to full fine-tuning.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import pairwise

import torch

import methods
from bench.cost.flops import MacCounter, count_training, pass_both_ways
from bench.cost.measure import count_parameters
from bench.grid.cells import parse_methods
from bench.models.build import build_segmenter
from bench.models.segmenter import Segmenter, apply_method

CHANNELS, CLASSES = 4, 4
HALF = "lora[blocks=last_half]"
ORDER = ("linear", HALF, "lora", "full")
HEAD = (
    "| method | tuned, M | forward, GMAC | training, GMAC | of full |",
    "| --- | ---: | ---: | ---: | ---: |",
)

Patch = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    method: str
    tuned: int
    forward_gmac: float
    training_gmac: float
    uncounted: tuple[str, ...]


def count_row(method: str, backbone: str, patch: Patch) -> Row:
    with torch.device("meta"):
        model, volume = build(method, backbone, patch), torch.empty(1, CHANNELS, *patch)
    with torch.no_grad(), MacCounter() as forward:
        model.eval()(volume)
    training_gmac, uncounted = count_training(pass_both_ways(model), volume)
    names = tuple(sorted(forward.uncounted | uncounted))
    return Row(method, count_parameters(model).tuned, forward.macs / 1e9, training_gmac, names)


def build(method: str, backbone: str, patch: Patch) -> Segmenter:
    (spec,) = parse_methods(method)
    model = build_segmenter(
        backbone, "none", in_channels=CHANNELS, n_classes=CLASSES, patch=patch, seed=0
    )
    apply_method(model, spec.build(), seed=0)
    return model


def list_methods() -> list[str]:
    names = methods.names()
    return [*names[: names.index("lora")], HALF, *names[names.index("lora") :]]


def format_row(row: Row, full: Row) -> str:
    share = row.training_gmac / full.training_gmac
    return f"| {row.method} | {row.tuned / 1e6:.3f} | {row.forward_gmac:.1f} | {row.training_gmac:.1f} | {share:.2f} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="128,128,128", help="D,H,W in voxels")
    arguments = parser.parse_args()
    depth, height, width = map(int, arguments.patch.split(","))
    rows = {
        name: count_row(name, arguments.backbone, (depth, height, width)) for name in list_methods()
    }
    print(*HEAD, *(format_row(row, rows["full"]) for row in rows.values()), sep="\n")
    unknown = sorted({name for row in rows.values() for name in row.uncounted})
    if unknown:
        print(f"without a rule: {', '.join(unknown)}")
    training = [rows[name].training_gmac for name in ORDER]
    return 0 if not unknown and all(low < high for low, high in pairwise(training)) else 1


if __name__ == "__main__":
    sys.exit(main())
