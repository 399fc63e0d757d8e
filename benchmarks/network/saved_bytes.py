"""What autograd keeps of one training step for its backward pass, by method, in exact bytes.

    python -m benchmarks.network.saved_bytes [--backbone vit_b16] [--patch 8,128,128]
        [--methods a,b]

One patch of 4 channels and 4 classes in fp32; the figures are those of `cost.memory` in a result.
Exit code 1 if linear does not keep less than adaptformer, or adaptformer not less than full.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from itertools import pairwise

import methods
from bench.cost.inventory import NetworkShape, read_network_shape
from bench.cost.memory import measure_memory
from benchmarks.network.build import build_network, build_training
from reports.records.cost import Memory

ORDER = ("linear", "adaptformer", "full")


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_b16")
    parser.add_argument("--patch", default="8,128,128", help="D,H,W in voxels")
    parser.add_argument("--methods", default=",".join(methods.names()), help="default: all")
    arguments = parser.parse_args()
    shape = read_network_shape(arguments.backbone, arguments.patch)
    size = "x".join(map(str, (shape.channels, *shape.patch)))
    print(f"{shape.backbone}, one patch {size}, fp32, MiB")
    print(f"{'method':<16}  saved for backward   gradients   optimiser   weights")
    saved = {}
    for name in arguments.methods.split(","):
        found = measure(name, shape)
        saved[name] = found.saved_for_backward_mib
        rest = f"{found.gradients_mib:>12.1f}{found.optimizer_mib:>12.1f}{found.weights_mib:>10.1f}"
        print(f"{name:<16}{saved[name]:>20.1f}{rest}", flush=True)
    figures = [saved[name] for name in ORDER if name in saved]
    return int(any(low >= high for low, high in pairwise(figures)))


def measure(method: str, shape: NetworkShape) -> Memory:
    model = build_network(method, shape)
    step, batch = build_training(model, shape)
    step.update(step.loss(batch))  # a first step allocates the optimiser's state
    return measure_memory(model, step, batch)


if __name__ == "__main__":
    sys.exit(main())
