"""What autograd keeps of one training step for its backward pass, by method: exact bytes, from saved-tensor hooks.

    python -m benchmarks.saved_bytes [--backbone vit_b16] [--patch 8,128,128] [--methods
    linear,adaptformer,full]

One patch of 4 channels and 4 classes with the protocol's loss and optimiser, in fp32; weights are
not counted. The figures are those of `cost.memory` in a run's result. Exit code 1 if linear does
not keep less than adaptformer, or adaptformer not less than full.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise

import torch
from lightning_fabric import Fabric

import methods
from bench.cost.memory import measure_memory
from bench.run.training import build_step
from bench.specs.protocol import TrainSpec
from benchmarks.compute import CHANNELS, CLASSES, Patch, build
from reports.records.run import Memory

ORDER = ("linear", "adaptformer", "full")


def measure(method: str, backbone: str, patch: Patch) -> Memory:
    model = build(method, backbone, patch).train()
    step = build_step(model, TrainSpec(), Fabric(accelerator="cpu", devices=1))
    batch = {
        "image": torch.randn(1, CHANNELS, *patch),
        "label": torch.randint(CLASSES, (1, *patch)),
    }
    step.update(step.loss(batch))  # the optimiser's state is there after a first step
    return measure_memory(model, step, batch)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="8,128,128", help="D,H,W in voxels")
    parser.add_argument(
        "--methods", default=",".join(methods.names()), help="separated by commas; default: all"
    )
    arguments = parser.parse_args()
    depth, height, width = map(int, arguments.patch.split(","))
    print(f"{arguments.backbone}, one patch {CHANNELS}x{depth}x{height}x{width}, fp32, MiB")
    print(
        f"{'method':<16}{'saved for backward':>20}{'gradients':>12}{'optimiser':>12}{'weights':>10}"
    )
    saved = {}
    for name in arguments.methods.split(","):
        found = measure(name, arguments.backbone, (depth, height, width))
        saved[name] = found.saved_for_backward_mib
        print(
            f"{name:<16}{found.saved_for_backward_mib:>20.1f}{found.gradients_mib:>12.1f}{found.optimizer_mib:>12.1f}"
            f"{found.weights_mib:>10.1f}",
            flush=True,
        )
    figures = [saved[name] for name in ORDER if name in saved]
    return 0 if all(low < high for low, high in pairwise(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())
